"""Models of the retina: what was recorded (`data`), a made-up retina of known truth (`synthetic`),
and models that predict spikes from frames.
"""
