"""The curvature of a loss while it is trained on, for any torch model.

    products.py   v ↦ Hv on one batch         sharpness.py  λmax of H or of P⁻¹H, by Lanczos
    edge.py       the λmax an optimizer bears, its preconditioner
    recorder.py   both, every k steps of any loop   record.py, figure.py  what was seen, as numbers and as a picture

Nothing of it needs the rest of flatdirs but its errors and the finder's list of random generators.
"""
