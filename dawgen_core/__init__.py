"""DawGen: synthetic labelled pairs for few-shot prompt tuning (Guo et al., COLM 2024). The top-level modules are the method:
maths (losses, weighting, surgery, samplers) < books (params, artifacts) < world (tasks, prompts, backbones)
< steps (bilevel, generation, tuning). Imports point left only; the subpackages stand on them and are never imported by them.
"""
