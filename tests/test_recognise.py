"""Recognisers tell the structures of pipelines apart."""

import collapse_theory as ct
from collapse_theory.describe.recognise import chain, increments, one_design


def test_recognisers_tell_structures_apart():
    stage, w = ct.Stage(T=9, noise=1), ct.workflows
    replace, accumulate, mix = w.replace(2, stage, stage), w.accumulate(3, stage), w.label_mix(2, stage, 0.5)
    fixed, keep = w.accumulate(3, stage, design="fixed"), w.keep_real(2, stage, stage)
    for pipe, is_chain, telescopes, fixed_design in (
        (replace, True, True, False), (accumulate, False, True, False), (mix, False, False, True),
        (fixed, False, False, True), (keep, False, False, False),
    ):  # fmt: skip
        fit = pipe.fits[-1]
        assert (chain(pipe, fit) is not None) == is_chain
        assert (increments(pipe, fit) is not None) == telescopes
        assert (one_design(pipe, fit) is not None) == fixed_design
