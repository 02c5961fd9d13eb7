"""The curvature of a loss while it is trained on, and learning rates from it, for any torch model.

    cdat.py, line_search.py   optimizers that find their own rate: closure → loss → g, u → uᵀHu → η = σ·n/d → w += ηu;
                              tuned.py is what they share, bases.py the update directions, form.py uᵀHu from one graph
    products.py               v ↦ Hv on one batch         sharpness.py  λmax of H or of P⁻¹H, by Lanczos
    edge.py                   the λmax an optimizer bears, its preconditioner
    recorder.py               both, every k steps of any loop   record.py, figure.py  what was seen, and a picture
    settings.py               the keys of `curvature`

Nothing of it but settings.py needs the rest of flatdirs, except its errors and the finder's list of random generators.
Source: reference/003, arXiv 2407.06183. Loads nothing by itself: settings and records are read without torch.
"""
