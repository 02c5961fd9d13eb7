"""The curvature of a loss while it is trained on, for any torch model.

    products.py   v ↦ Hv on one batch         sharpness.py  λmax of H or of P⁻¹H, by Lanczos
    edge.py       the λmax an optimizer bears, its preconditioner
    recorder.py   both, every k steps of any loop   record.py, figure.py  what was seen, as numbers and as a picture
    settings.py   the keys of `curvature`

Nothing of it but settings.py needs the rest of flatdirs, except its errors and the finder's list of random generators.
"""
