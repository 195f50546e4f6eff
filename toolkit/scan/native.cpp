// A batch through all steps of a rate network, and the way back: what toolkit/scan/function.py does
// with torch, fused. State and adjoints of a step stay in the cache while a row of the matrix is
// multiplied, F is read and the state moves on.
//
// Items do not touch each other: groups of them go through all steps on their own, each done by a
// team of threads that share its neurons. A row is summed by one thread in the order of its
// entries, a gradient in the order of the groups: results do not depend on the number of threads.

#include <sys/mman.h>

#include <algorithm>
#include <barrier>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

namespace {

constexpr int LANES = 16, WIDE = 2;  // items in a vector; vectors in a group
typedef float Vec __attribute__((vector_size(4 * LANES)));

enum Dynamics { instantaneous, low_pass, equilibrium };

inline Vec load(const float* from) {
    Vec v;
    std::memcpy(&v, from, sizeof v);
    return v;
}
inline void store(float* to, Vec v) { std::memcpy(to, &v, sizeof v); }

}  // namespace

extern "C" struct Network {  // in the order of toolkit/scan/native.py
    int64_t n, n_slots, n_channels, steps, width, points, dynamics, threads;
    const int32_t *crow, *col, *crow_back, *col_back;
    const float *values, *values_back;
    const float *a_s, *a_r;         // (slot, neuron), (neuron,)
    const float *table, *scale, *shift;  // F: (neuron, point), (neuron,), (neuron,)
    const float* constant;          // (neuron,)
    const float* noise;             // or null; strides of step, neuron
    int64_t noise_step, noise_neuron;
    float* state;    // (step + 1, neuron + channel, item): rates before each step, and inputs
    float* slopes;   // (group, step, neuron, item of the group), or null
    const float* currents;  // at the start, (slot, neuron, item)
    // For the way back.
    const float* grad;  // of the rates after each step; strides of item, step, neuron
    int64_t grad_item, grad_step, grad_neuron, items;
    float *grad_values;    // (group, entry), zeros, or null
    float *grad_constant;  // (group, neuron), zeros, or null
    float *grad_inputs;    // (step, channel, item), or null
};

namespace {

// Neurons of each thread of a team: about equally many entries.
std::vector<int64_t> shares(const Network& net, int team) {
    auto entries = [&](int64_t i) {
        int64_t sum = net.crow_back[i];
        for (int64_t slot = 0; slot < net.n_slots; ++slot)
            sum += net.crow[slot * net.n + i] - net.crow[slot * net.n];
        return sum;
    };
    const int64_t all = entries(net.n);
    std::vector<int64_t> first(team + 1, net.n);
    first[0] = 0;
    for (int part = 1; part < team; ++part) {
        int64_t low = 0, high = net.n;
        while (low < high) {
            const int64_t middle = (low + high) / 2;
            if (entries(middle) * team < all * part)
                low = middle + 1;
            else
                high = middle;
        }
        first[part] = low;
    }
    return first;
}

// Sum over the entries of a row of value times the presynaptic state.
template <int V>
inline void row_sum(Vec (&sum)[V], const float* values, const int32_t* col, int64_t from,
                    int64_t to, const float* state) {
    Vec other[V] = {};
    for (int v = 0; v < V; ++v) sum[v] = other[v];
    int64_t e = from;
    for (; e + 1 < to; e += 2) {
        const float *a = state + col[e] * (V * LANES), *b = state + col[e + 1] * (V * LANES);
        for (int v = 0; v < V; ++v) {
            sum[v] += values[e] * load(a + v * LANES);
            other[v] += values[e + 1] * load(b + v * LANES);
        }
    }
    if (e < to) {
        const float* a = state + col[e] * (V * LANES);
        for (int v = 0; v < V; ++v) sum[v] += values[e] * load(a + v * LANES);
    }
    for (int v = 0; v < V; ++v) sum[v] += other[v];
}

// F and its slope: toolkit.scan.curves.TableCurve.value_and_slope.
inline void look_up(const float* table, float scale, float shift, int points, int items,
                    const float* current, float* value, float* slope) {
    for (int b = 0; b < items; ++b) {
        float place = shift + current[b] * scale;
        place = place < 0.5f ? 0.5f : place;
        const float near = place < float(points) ? place + 0.5f : float(points);
        int centre = int(near);
        centre = centre < 1 ? 1 : centre;
        centre = centre > points - 2 ? points - 2 : centre;
        const float left = table[centre - 1], middle = table[centre], right = table[centre + 1];
        const float t = place - (float(centre) - 0.5f);
        const float inside = t > 1.0f ? 1.0f : t;
        const float rise = middle - left, bend = left - 2 * middle + right;
        const float s = rise + inside * bend;
        value[b] = 0.5f * (left + middle) + inside * (rise + 0.5f * inside * bend) + (t - inside) * s;
        slope[b] = s * scale;
    }
}

// Memory in large pages, which random reads of a few megabytes need, as the system allows.
class Buffer {
  public:
    explicit Buffer(int64_t floats) {
        const int64_t bytes = (floats * 4 + PAGE - 1) / PAGE * PAGE;
        at_ = static_cast<float*>(std::aligned_alloc(PAGE, bytes));
        if (!at_) throw std::bad_alloc();
        madvise(at_, bytes, MADV_HUGEPAGE);
        std::memset(at_, 0, bytes);
    }
    Buffer(const Buffer&) = delete;
    ~Buffer() { std::free(at_); }
    float* operator+(int64_t offset) const { return at_ + offset; }

  private:
    static constexpr int64_t PAGE = 1 << 21;
    float* at_;
};

// Rows of a group's items, side by side instead of spread over all items.
template <int V>
inline void collect(float* to, const float* state, int64_t from, int64_t until, int64_t width) {
    for (int64_t j = from; j < until; ++j)
        for (int v = 0; v < V; ++v)
            store(to + (j * V + v) * LANES, load(state + j * width + v * LANES));
}

struct Share {  // of the neurons and of the channels, for one thread of a team
    int64_t from, to, channel_from, channel_to;
};

struct States {  // of a group: before and after a step, and its currents
    Buffer state[2], currents;
};

constexpr int TOGETHER = 16;  // neurons whose tables are read at once, so that reads overlap

template <int V>
void forward(const Network& net, int64_t item, int64_t group, const Share& mine, States& states,
             std::barrier<>& step_done) {
    constexpr int W = V * LANES;
    const int64_t n = net.n, width = net.width, slab = (n + net.n_channels) * width;
    const float* start = net.state + item;
    collect<V>(states.state[0] + 0, start, mine.from, mine.to, width);
    collect<V>(states.state[0] + 0, start, n + mine.channel_from, n + mine.channel_to, width);
    for (int64_t slot = 0; slot < net.n_slots; ++slot)
        collect<V>(states.currents + 0, net.currents + item, slot * n + mine.from,
                   slot * n + mine.to, width);
    step_done.arrive_and_wait();
    for (int64_t k = 0; k < net.steps; ++k) {
        const float* now = states.state[k & 1] + 0;
        float* next = states.state[(k + 1) & 1] + 0;
        float* history = net.state + (k + 1) * slab + item;
        for (int64_t first = mine.from; first < mine.to; first += TOGETHER) {
            const int64_t last = std::min(first + TOGETHER, mine.to);
            alignas(sizeof(Vec)) float totals[TOGETHER][W];
            for (int64_t i = first; i < last; ++i) {
                Vec total[V];
                for (int v = 0; v < V; ++v) {
                    total[v] = Vec{} + net.constant[i];
                    if (net.noise)
                        total[v] += load(net.noise + k * net.noise_step + i * net.noise_neuron +
                                         item + v * LANES);
                }
                for (int64_t slot = 0; slot < net.n_slots; ++slot) {
                    const int64_t row = slot * n + i;
                    Vec arriving[V];
                    row_sum<V>(arriving, net.values, net.col, net.crow[row], net.crow[row + 1],
                               now);
                    const float keep = 1 - net.a_s[row];
                    float* at = states.currents + row * W;
                    for (int v = 0; v < V; ++v) {
                        if (net.dynamics == equilibrium) {
                            total[v] += arriving[v];
                            continue;
                        }
                        const Vec old = load(at + v * LANES);
                        const Vec moved = old + keep * (arriving[v] - old);
                        total[v] += net.dynamics == instantaneous ? moved : old;
                        store(at + v * LANES, moved);
                    }
                }
                for (int v = 0; v < V; ++v) store(totals[i - first] + v * LANES, total[v]);
            }
            for (int64_t i = first; i < last; ++i) {
                alignas(sizeof(Vec)) float value[W], slope[W];
                look_up(net.table + i * net.points, net.scale[i], net.shift[i], int(net.points), W,
                        totals[i - first], value, slope);
                const bool direct = net.dynamics == instantaneous;
                const float keep = direct ? 1.0f : 1 - net.a_r[i];
                for (int v = 0; v < V; ++v) {
                    const Vec old = load(now + i * W + v * LANES), target = load(value + v * LANES);
                    const Vec rate = direct ? target : old + keep * (target - old);
                    store(next + i * W + v * LANES, rate);
                    store(history + i * width + v * LANES, rate);
                }
                if (net.slopes)
                    std::memcpy(net.slopes + group * net.steps * n * WIDE * LANES + (k * n + i) * W,
                                slope, sizeof slope);
            }
        }
        collect<V>(next, history, n + mine.channel_from, n + mine.channel_to, width);
        step_done.arrive_and_wait();
    }
}

// Lane l of the result is the sum of the lanes of vector number reversed(l).
constexpr int reversed(int l) {
    return (l & 1) << 3 | (l & 2) << 1 | (l & 4) >> 1 | (l & 8) >> 3;
}
inline Vec lane_sums(const Vec (&x)[LANES]) {
    Vec a[8], b[4], c[2];
    for (int m = 0; m < 8; ++m)
        a[m] = __builtin_shufflevector(x[m], x[m + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               __builtin_shufflevector(x[m], x[m + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    for (int m = 0; m < 4; ++m)
        b[m] = __builtin_shufflevector(a[m], a[m + 4], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
               __builtin_shufflevector(a[m], a[m + 4], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    for (int m = 0; m < 2; ++m)
        c[m] = __builtin_shufflevector(b[m], b[m + 2], 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) +
               __builtin_shufflevector(b[m], b[m + 2], 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
    return __builtin_shufflevector(c[0], c[1], 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
           __builtin_shufflevector(c[0], c[1], 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}

// Adds adjoint times state of two steps, for the entries of some neurons' rows.
template <int V>
void contract(const Network& net, int64_t from, int64_t to, const float* adjoint,
              const float* adjoint_later, const float* state, const float* state_later,
              float* grad_values) {
    for (int64_t slot = 0; slot < net.n_slots; ++slot)
        for (int64_t i = from; i < to; ++i) {
            const int64_t row = slot * net.n + i;
            Vec a[V], b[V];
            for (int v = 0; v < V; ++v) {
                a[v] = load(adjoint + (row * V + v) * LANES);
                b[v] = load(adjoint_later + (row * V + v) * LANES);
            }
            for (int64_t e = net.crow[row]; e < net.crow[row + 1]; e += LANES) {
                const int64_t count = std::min<int64_t>(LANES, net.crow[row + 1] - e);
                Vec sums[LANES];
#pragma GCC unroll 16
                for (int l = 0; l < LANES; ++l) {
                    const int64_t j = net.col[e + (l < count ? l : 0)] * (V * LANES);
                    Vec sum = a[0] * load(state + j);
                    for (int v = 1; v < V; ++v) sum += a[v] * load(state + j + v * LANES);
                    for (int v = 0; v < V; ++v) sum += b[v] * load(state_later + j + v * LANES);
                    sums[reversed(l)] = sum;
                }
                const Vec found = lane_sums(sums);
                if (count == LANES)
                    store(grad_values + e, load(grad_values + e) + found);
                else
                    for (int64_t l = 0; l < count; ++l) grad_values[e + l] += found[l];
            }
        }
}

struct Adjoints {  // of a group: of what arrives in two steps, of currents, of rates
    Buffer arriving[2], currents, rates;
    Buffer state[2];  // before two steps
};

template <int V>
void backward(const Network& net, int64_t item, int64_t group, const Share& mine,
              Adjoints& adjoints, int team, std::barrier<>& step_done) {
    constexpr int W = V * LANES;
    const int64_t n = net.n, slab = (n + net.n_channels) * net.width;
    const float* slopes = net.slopes + group * net.steps * n * WIDE * LANES;
    const int64_t real = std::clamp<int64_t>(net.items - item, 0, W);
    for (int64_t k = net.steps - 1; k >= 0; --k) {
        const float* before = adjoints.arriving[(k + 1) & 1] + 0;
        float* now = adjoints.arriving[k & 1] + 0;
        for (int64_t i = mine.from; i < mine.to; ++i) {
            Vec rates[V], total[V];
            row_sum<V>(rates, net.values_back, net.col_back, net.crow_back[i],
                       net.crow_back[i + 1], before);
            alignas(64) float given[W] = {};
            const float* grad = net.grad + item * net.grad_item + k * net.grad_step +
                                i * net.grad_neuron;
            for (int64_t b = 0; b < real; ++b) given[b] = grad[b * net.grad_item];
            const bool direct = net.dynamics == instantaneous;
            const float a_r = direct ? 0.0f : net.a_r[i];
            float* old = adjoints.rates + i * W;
            for (int v = 0; v < V; ++v) {
                rates[v] += load(given + v * LANES);
                if (!direct) rates[v] += a_r * load(old + v * LANES);
                store(old + v * LANES, rates[v]);
                total[v] = load(slopes + (k * n + i) * W + v * LANES) *
                           rates[v] * (1 - a_r);
            }
            if (net.grad_constant) {
                float sum = 0;
                for (int v = 0; v < V; ++v)
                    for (int l = 0; l < LANES; ++l) sum += total[v][l];
                net.grad_constant[group * n + i] += sum;
            }
            for (int64_t slot = 0; slot < net.n_slots; ++slot) {
                const int64_t row = slot * n + i;
                const float a_s = net.a_s[row];
                float* currents = adjoints.currents + row * W;
                for (int v = 0; v < V; ++v) {
                    Vec arriving = total[v];
                    if (net.dynamics != equilibrium) {
                        Vec current = load(currents + v * LANES);
                        if (direct) current += total[v];
                        arriving = (1 - a_s) * current;
                        current *= a_s;
                        if (!direct) current += total[v];
                        store(currents + v * LANES, current);
                    }
                    store(now + row * W + v * LANES, arriving);
                }
            }
        }
        if (net.grad_values) {
            const float* history = net.state + k * slab + item;
            float* state = adjoints.state[k & 1] + 0;
            collect<V>(state, history, mine.from, mine.to, net.width);
            collect<V>(state, history, n + mine.channel_from, n + mine.channel_to, net.width);
        }
        step_done.arrive_and_wait();
        if (net.grad_values && k % 2 == 0) {
            contract<V>(net, mine.from, mine.to, now, before, adjoints.state[0] + 0,
                        adjoints.state[1] + 0, net.grad_values + group * net.crow[net.n_slots * n]);
            if (team > 1) step_done.arrive_and_wait();  // the states are written anew
        }
        if (net.grad_inputs)
            for (int64_t c = mine.channel_from; c < mine.channel_to; ++c) {
                Vec sum[V];
                row_sum<V>(sum, net.values_back, net.col_back, net.crow_back[n + c],
                           net.crow_back[n + c + 1], now);
                for (int v = 0; v < V; ++v)
                    store(net.grad_inputs + (k * net.n_channels + c) * net.width + item + v * LANES,
                          sum[v]);
            }
    }
}

// Calls job(group, first item, vectors, share of a thread, size of its team, the team's barrier).
template <class Job>
void in_teams(const Network& net, Job job) {
    const int64_t vectors = net.width / LANES, groups = (vectors + WIDE - 1) / WIDE;
    const int64_t teams = std::min(groups, net.threads);
    const int team = int(net.threads / teams);
    const auto first = shares(net, team);
    std::vector<std::unique_ptr<std::barrier<>>> barriers;
    for (int64_t t = 0; t < teams; ++t) barriers.push_back(std::make_unique<std::barrier<>>(team));
    auto work = [&](int64_t t, int part) {
        const Share mine{first[part], first[part + 1], net.n_channels * part / team,
                         net.n_channels * (part + 1) / team};
        for (int64_t group = t; group < groups; group += teams)
            job(group, group * WIDE * LANES, std::min<int64_t>(WIDE, vectors - group * WIDE), mine,
                team, *barriers[t]);
    };
    std::vector<std::thread> threads;
    for (int64_t t = 0; t < teams; ++t)
        for (int part = 0; part < team; ++part)
            if (t || part) threads.emplace_back(work, t, part);
    work(0, 0);
    for (auto& thread : threads) thread.join();
}

}  // namespace

// Ask for large pages where an array is about to be written for the first time.
extern "C" void scan_large_pages(void* from, int64_t bytes) {
    constexpr uintptr_t PAGE = 1 << 21;
    const uintptr_t at = reinterpret_cast<uintptr_t>(from);
    const uintptr_t first = (at + PAGE - 1) / PAGE * PAGE, last = (at + bytes) / PAGE * PAGE;
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

extern "C" void scan_forward(const Network* net) {
    const int64_t items = WIDE * LANES, rows = net->n_slots * net->n;
    const int64_t columns = net->n + net->n_channels;
    const int64_t groups = (net->width + items - 1) / items;
    std::vector<std::unique_ptr<States>> states;
    for (int64_t g = 0; g < groups; ++g)
        states.emplace_back(new States{{Buffer(columns * items), Buffer(columns * items)},
                                       Buffer(rows * items)});
    in_teams(*net, [&](int64_t group, int64_t item, int64_t vectors, const Share& mine, int,
                       std::barrier<>& done) {
        (vectors == WIDE ? forward<WIDE> : forward<1>)(*net, item, group, mine, *states[group],
                                                       done);
    });
}

extern "C" void scan_backward(const Network* net) {
    const int64_t items = WIDE * LANES, rows = net->n_slots * net->n;
    const int64_t columns = net->n + net->n_channels;
    const int64_t groups = (net->width + items - 1) / items;
    std::vector<std::unique_ptr<Adjoints>> adjoints;
    for (int64_t g = 0; g < groups; ++g)
        adjoints.emplace_back(new Adjoints{{Buffer(rows * items), Buffer(rows * items)},
                                           Buffer(rows * items), Buffer(net->n * items),
                                           {Buffer(columns * items), Buffer(columns * items)}});
    in_teams(*net, [&](int64_t group, int64_t item, int64_t vectors, const Share& mine, int team,
                       std::barrier<>& done) {
        (vectors == WIDE ? backward<WIDE> : backward<1>)(*net, item, group, mine,
                                                         *adjoints[group], team, done);
    });
}
