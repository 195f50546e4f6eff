"""What lets extension modules compile against NEST's wheel as PyPI has it.

The wheel ships NEST's headers, but its ``nest-config`` names folders and a compiler of the machine
that built it, and its headers want Boost and libltdl. `prefix` gives a folder that looks like an
installed NEST: a ``nest-config`` of our own, and a copy of the headers without those two.

Found by compiling against nest-simulator 3.10.0: ``HAVE_BOOST`` only chooses between inline
functions, so it can be taken out; ``HAVE_LIBLTDL`` cannot, as it adds a member to the kernel, but a
declaration of the one pointer type is all that is needed of libltdl. Symbols are found in the
kernel that Python has loaded, so nothing is linked.

Models with a numeric solver call GSL, which the wheel has as a library without headers. NESTML's
code handles GSL's objects by pointers alone; the one structure that it fills in is the system of
equations, the same in GSL 1 and 2. So `GSL`, our declarations of the functions it calls, are
enough, and they do not depend on a GSL that the system may have, of another version.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from toolkit.errors import MissingDependency

# No fused multiply-add: it rounds once where the definition of the update rounds twice.
FLAGS = "-fopenmp -O3 -DNDEBUG -std=c++20 -ffp-contract=off"
LTDL = """#ifndef LTDL_H
#define LTDL_H
struct lt__handle;
typedef struct lt__handle* lt_dlhandle;
#endif
"""
# As the reference manual of GSL documents them: https://www.gnu.org/software/gsl/doc/html
GSL = """#ifndef STRIATE_GSL_H
#define STRIATE_GSL_H
#include <cstddef>
enum { GSL_SUCCESS = 0, GSL_FAILURE = -1 };
extern "C" {
typedef struct striate_gsl_step_type gsl_odeiv_step_type;
typedef struct striate_gsl_step gsl_odeiv_step;
typedef struct striate_gsl_control gsl_odeiv_control;
typedef struct striate_gsl_evolve gsl_odeiv_evolve;
typedef struct {
  int (*function)(double t, const double y[], double dydt[], void* params);
  int (*jacobian)(double t, const double y[], double* dfdy, double dfdt[], void* params);
  size_t dimension;
  void* params;
} gsl_odeiv_system;
extern const gsl_odeiv_step_type* gsl_odeiv_step_rkf45;
gsl_odeiv_step* gsl_odeiv_step_alloc(const gsl_odeiv_step_type* type, size_t dimension);
int gsl_odeiv_step_reset(gsl_odeiv_step* step);
void gsl_odeiv_step_free(gsl_odeiv_step* step);
gsl_odeiv_control* gsl_odeiv_control_y_new(double eps_abs, double eps_rel);
gsl_odeiv_control* gsl_odeiv_control_yp_new(double eps_abs, double eps_rel);
int gsl_odeiv_control_init(gsl_odeiv_control* control, double eps_abs, double eps_rel, double a_y,
                           double a_dydt);
void gsl_odeiv_control_free(gsl_odeiv_control* control);
gsl_odeiv_evolve* gsl_odeiv_evolve_alloc(size_t dimension);
int gsl_odeiv_evolve_reset(gsl_odeiv_evolve* evolve);
void gsl_odeiv_evolve_free(gsl_odeiv_evolve* evolve);
int gsl_odeiv_evolve_apply(gsl_odeiv_evolve* evolve, gsl_odeiv_control* control,
                           gsl_odeiv_step* step, const gsl_odeiv_system* system, double* t,
                           double t1, double* h, double y[]);
}
#endif
"""
GSL_HEADERS = ("gsl_errno.h", "gsl_matrix.h", "gsl_odeiv.h")  # that NESTML's code includes
CONFIG = """#!/bin/sh
for asked in "$@"; do case "$asked" in
 --prefix|--exec-prefix) echo "{folder}";;
 --version) echo "{version}";;
 --includes) echo "{includes}";;
 --cflags) echo "{flags}";;
 --libs) echo "";;
 --compiler) echo "{compiler}";;
 --compiler-name) echo GNU;;
 --compiler-version) echo "";;
 --python-executable) echo "{python}";;
 --static-libraries) echo OFF;;
 --docdir) echo share/doc/nest;;
 --datadir) echo share/nest;;
 --libdir) echo lib;;
esac; done
"""


def prefix(nest: Any, compiler: str, folder: Path) -> Path:
    """Where NEST is installed for those who compile against it.

    A NEST that was built from source has such a place. For a wheel, one is made in `folder`.

    Raises
    ------
    MissingDependency : an installation without headers
    """
    built = Path(nest.build_info["prefix"])
    if (built / "bin" / "nest-config").is_file():
        return built
    package = Path(nest.__file__).parent
    headers = package / "include" / "nest"
    if not (headers / "config.h").is_file():
        raise MissingDependency(
            f"the NEST in {package} has no headers to compile a model against; the wheel has: "
            "pip install --force-reinstall nest-simulator"
        )
    include = folder / "include"
    shutil.copytree(headers, include)
    config = include / "config.h"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("#define HAVE_BOOST 1", ""), encoding="utf-8")
    (include / "ltdl.h").write_text(LTDL, encoding="utf-8")
    (include / "gsl").mkdir()
    for header in GSL_HEADERS:
        (include / "gsl" / header).write_text(GSL, encoding="utf-8")
    script = folder / "bin" / "nest-config"
    script.parent.mkdir()
    script.write_text(
        CONFIG.format(
            folder=folder,
            version=nest.build_info["version"],
            includes=f"-I{include}",
            flags=f"{FLAGS} -D_GLIBCXX_USE_CXX11_ABI={_string_abi(package)}",
            compiler=compiler,
            python=sys.executable,
        ),
        encoding="utf-8",
    )
    script.chmod(0o755)
    return folder


def _string_abi(package: Path) -> int:
    """Which ``std::string`` the kernel was compiled with: 1 for that of GCC 5 and later, else 0.

    By the name of one of its functions, ``get_synaptic_elements(std::string) const``.
    """
    kernels = [*package.glob("nestkernel_api*.so"), *package.glob("pynestkernel*.so")]
    old = b"21get_synaptic_elementsESs"
    return 0 if any(old in kernel.read_bytes() for kernel in kernels) else 1
