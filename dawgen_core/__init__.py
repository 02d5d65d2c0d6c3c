"""DawGen: synthetic labelled pairs for few-shot prompt tuning (Guo et al., COLM 2024).

The top-level modules are the method; read them in this order:
maths (losses, weighting, surgery, samplers) < books (params, imports, artifacts, figures)
< world (tasks, prompts, backbones) < steps (bilevel, generation, tuning).
Imports point left only. The subpackages stand on them and are never imported by them.
"""
