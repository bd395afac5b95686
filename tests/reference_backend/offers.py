"""What the reference backend leaves out, and why: the tests that need it are skipped with that reason."""

from __future__ import annotations

__all__ = ["NOT_OFFERED"]

SLOW = "In NumPy it takes from seconds to a minute; other tests ask the same of the backend."
HOST = "Most of it is work on the host, which is the same on every backend."

NOT_OFFERED = {
    "end_to_end": "Commands run in a process of their own, in which it is not installed.",
    "clipped rectifiers": "Its models have none; a model calls relu.",
    "attention": "It has no transformer, and its layers have no attention maps.",
    "foreign arrays": "Its arrays are NumPy's, and none of them is foreign.",
    "half precision": "NumPy has no bfloat16.",
    "interface": "A generator shows how it is called and what it returns, so inputs= and output= are refused.",
    "odd widths": "autograd has no gradient of a Fourier transform of odd width; ph.parameterizations.pixel() takes any width.",
    "optimizer": "NumPy has no optimizers of its own.",
    "training mode": "Its models have none.",
    "test_a_disk_that_fills_up_leaves_nothing_half_written": SLOW,
    "test_a_run_that_was_stopped_before_its_cards_goes_on_to_them": SLOW,
    "test_a_run_that_was_stopped_goes_on_and_equals_one_that_was_not": SLOW,
    "test_a_targets_picture_does_not_depend_on_its_batch": SLOW,
    "test_an_accentuation_trades_the_unit_against_the_photograph": SLOW,
    "test_atlas_memory": SLOW,
    "test_cards_are_those_of_assess_and_are_made_once": SLOW,
    "test_integrated_gradients_add_up": SLOW,
    "test_inversion_comes_back_to_the_activation": SLOW,
    "test_measured_batches_are_taken_over": SLOW,
    "test_pictures_are_what_the_boxes_say": SLOW,
    "test_planted_truth": SLOW,
    "test_redirected_warm_up_wakes_dead_channels": SLOW,
    "test_snapshots_are_the_pictures_on_the_way": SLOW,
    "test_stopped_anywhere_it_goes_on_and_ends_equal": SLOW,
    "test_streaming_memory": SLOW,
    "test_the_mark_is_not_used_by_the_network_that_never_was_trained_on_it": SLOW,
    "test_the_planted_mark_flips_and_stones_do_not": SLOW,
    "test_trust": SLOW,
    "test_windows_hold_most_of_the_gradient_and_are_centred_on_it": SLOW,
    "test_a_table_a_figure_and_a_page": HOST,
    "test_an_embedding_is_seeded_and_says_how_far_to_trust_it": HOST,
    "test_embedding_methods": HOST,
    "test_figures": HOST,
}
"""By what a test is marked with (``needs``), or by the name of a test, of its file or of its folder."""
