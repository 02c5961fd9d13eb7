"""The curvature of a loss during training, and learning rates from it, for any torch model (arXiv 2407.06183).

    cdat.py, line_search.py   optimizers that choose their learning rate: closure → loss → g, u → uᵀHu → η → w += ηu;
                              self_tuning_optimizer.py is their base class, base_optimizers.py the update directions u,
                              quadratic_form.py (with layers.py, batch_norm.py) uᵀHu
    hessian_products.py       v ↦ Hv on a batch           sharpness.py  λmax of H or of P⁻¹H, by Lanczos
    stability.py              the edge of stability of an optimizer, and its preconditioner P
    log.py                    sharpness and edge at every k-th step of any loop; log_record.py, figure.py  its records

Nothing is imported here: records are read without torch.
"""
