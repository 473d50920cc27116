"""Sweeps whose values repeat a claim: all of them by ``make test-all``, some by ``make test``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

WIDE = {
    "test_checkpoint": {"test_a_fit_that_was_killed_goes_on_to_the_same_bits": 3},
    "test_conversion": {"test_networks_there_and_back": 3},
    "test_coordinate_descent": {"test_agrees_with_plain_cycles": 2},
    "test_cpu_classes": {"test_every_number_of_classes_rows_and_columns": 5, "test_the_curvature_of_every_shape": 3},
    "test_cublas": {"test_sums_follow_the_reference": 3},
    "test_cuda_classes": {
        "test_sums_follow_the_reference": 3,
        "test_rows_that_are_part_of_a_larger_array": 3,
        "test_a_second_run_gives_the_same_bits": 3,
        "test_what_is_not_finite_reaches_the_sums": 3,
    },
    "test_cuda_dense": {
        "test_sums_follow_the_reference": 2,
        "test_a_second_run_gives_the_same_bits": 4,
        "test_every_value_is_read_exactly": 2,
    },
    "test_cuda_steps": {
        "test_steps_follow_the_reference": 3,
        "test_updates_follow_the_reference": 3,
        "test_nothing_waits_for_the_device_within_an_epoch": 2,
    },
    "test_elementary": {"test_no_thread_passes_the_barrier_before_the_others_arrive": 2},
    "test_fit_on_device": {
        "test_a_fit_on_the_device_finds_what_one_on_the_host_finds": 2,
        "test_an_l1_penalty_on_the_device_gives_the_zeros_of_the_host": 2,
        "test_a_fit_of_many_classes_on_the_device_finds_what_one_on_the_host_finds": 2,
    },
    "test_fits_on_the_stand_in": {
        "test_a_fit_of_every_kind": 3,
        "test_steps_of_a_linear_model": 2,
        "test_every_storage": 2,
        "test_arrays_of_every_library_come_back_in_their_kind": 2,
        "test_loss_and_gradient": 2,
    },
    "test_given_back": {
        "test_a_fit_gives_back_all_it_took": 2,
        "test_a_fit_that_fails_gives_back_all_it_took_while_its_error_is_kept": 2,
    },
    "test_gpu_check": {"test_the_pass_is_measured_once_it_is_right": 3},
    "test_graph_fits": {
        "test_networks_fit_on_a_graph_as_on_the_cpu": 2,
        "test_linear_models_fit_on_a_graph_as_on_the_cpu": 2,
    },
    "test_heavy_rows": {"test_few_reads_to_the_optimum": 2},
    "test_hessian_at": {
        "test_value_and_gradient_with_curvature_are_those_of_a_call_in_one_read": 3,
        "test_products_are_differences_of_the_gradient_and_those_with_the_hessian": 2,
    },
    "test_input_types": {"test_arrow_labels_and_weights": 3},
    "test_kernel_counts": {"test_a_chosen_member_is_within_its_limits": 3},
    "test_kernels_host": {"test_ragged_rows": 4},
    "test_kernels_host_network": {"test_forward_and_backward_of_an_activation": 4},
    "test_kernels_host_steps": {
        "test_forward_gathers_the_rows_of_a_batch": 3,
        "test_forward_of_every_storage_and_activation": 3,
        "test_gradient_of_weights_and_intercepts": 3,
        "test_backward_to_the_layer_below": 3,
    },
    "test_label_kinds": {"test_missing_labels_are_refused_by_their_row": 3},
    "test_multilabel": {"test_gradient_of_every_parameter": 2, "test_compiled_steps_follow_the_reference": 3},
    "test_network": {"test_gradient_of_every_parameter": 3, "test_gradient_is_that_of_autograd": 2},
    "test_newton_by_columns": {"test_the_minimum_is_that_of_the_other_solver": 3},
    "test_parted": {"test_samples_are_unbiased": 2},
    "test_passes": {"test_moments": 2, "test_every_dtype_in_every_layout": 2, "test_ragged_numbers_of_columns": 3},
    "test_products": {
        "test_bits_do_not_depend_on_the_number_of_threads": 3,
        "test_products_and_diagonals_follow_the_hessian_written_out": 2,
    },
    "test_proximal": {"test_hard_data_take_few_reads": 4},
    "test_row_space_model": {"test_the_minimum_that_scikit_learn_finds": 3},
    "test_scores": {"test_lengths_that_differ": 4},
    "test_sparse_pass": {"test_a_sample_is_the_dense_one_of_the_same_rows": 3},
    "test_sparse_rows": {
        "test_values_that_are_not_finite_are_named_by_row_and_column": 4,
        "test_networks_are_those_of_dense_rows": 3,
        "test_class_weights_and_no_intercept": 3,
        "test_second_order_solvers": 2,
    },
    "test_stand_in_faults": {"test_a_fault_is_seen": 3, "test_a_scene_passes_without_a_fault": 2},
    "test_steps_graph": {
        "test_python_does_nothing_between_the_batches": 2,
        "test_a_step_is_the_gradient_by_central_differences": 2,
    },
    "test_storage": {
        "test_narrowing_of_its_own_accord_changes_no_result": 2,
        "test_a_device_that_fails_in_the_middle_of_a_fit": 2,
    },
    "test_streams": {"test_sparse_blocks": 3, "test_the_optimum_is_that_of_the_rows_in_memory": 3},
    "test_stress": {
        "test_a_seed_is_one_problem_and_its_container_holds_its_rows": 3,
        "test_the_bound_of_any_point_is_below_the_minimum": 3,
        "test_a_random_problem_is_fitted_as_its_certificate_says": 2,
    },
    "test_subsampled_newton": {"test_reads_on_hard_data": 3, "test_ten_seeds_agree": 3},
    "test_working_set": {"test_the_solution_is_that_of_all_columns": 3},
}
"""Sweeps that repeat one claim for many values: ``make test`` runs one test of so many, ``make test-all`` all."""


MANY, ONE_OF = 8, 3
"""A test with so many cases is a sweep too: of those that `WIDE` does not name, one case of so many is not slow."""

HEAVY = {
    "test_multilabel": {"test_compiled_steps_follow_the_reference[tanh-hidden1-2-float64]"},
    "test_memory": {
        "test_sparse_rows_are_copied_neither_by_a_fit_nor_by_predictions[float32-parameters0]",
        "test_a_fit_does_not_widen_narrow_rows_as_a_whole[uint8-parameters0]",
        "test_sparse_rows_are_copied_neither_by_a_fit_nor_by_predictions[float32-parameters6]",
        "test_predictions_copy_no_rows[float32]",
    },
    "test_several_devices": {"test_bits_are_those_of_one_device_and_the_optimum_that_of_the_host[lbfgs-3]"},
    "test_easy_columns": {
        "test_a_hessian_is_taken_where_gradients_alone_are_slow[True]",
        "test_a_hessian_is_taken_where_gradients_alone_are_slow[False]",
    },
    "test_firth": {"test_bias_of_a_true_model_is_taken_away"},
    "test_forks": {
        "test_children_forked_beside_first_fits_and_later_ones_fit_to_the_same_bits",
        "test_a_fork_waits_for_a_module_whose_import_begins_while_it_waits_for_another",
        "test_a_fork_waits_for_its_turn_to_set_the_threads_of_blas",
    },
    "test_cli_errors": {"test_interruption"},
    "test_cli_clusters": {"test_workers_that_are_started"},
    "test_cluster_networks": {
        "test_sparse_rows_a_warm_start_and_lazy_answers",
        "test_a_checkpoint_goes_on_to_the_same_bits[adam]",
    },
    "test_input_types": {"test_no_library_is_imported_before_an_object_of_it_arrives"},
    "test_cupy_signatures": {"test_what_the_package_names_of_cupy_is_recorded_alike_of_both_wheels"},
    "test_hessian_at": {
        "test_products_are_differences_of_the_gradient_and_those_with_the_hessian[3-True-float64-cpu]",
        "test_value_and_gradient_with_curvature_are_those_of_a_call_in_one_read[3-float64-cpu]",
    },
    "test_gpu_run": {"test_a_process_is_ended_with_all_that_it_has_started"},
    "test_pass_bits": {"test_weights_that_lie_before_the_memory_of_the_logits_change_no_bit"},
    "test_compiled": {"test_loops_are_plain_functions_of_a_numba_whose_inner_parts_are_not_known"},
    "test_interruption": {"test_readers_that_have_gone"},
    "test_logistic_path": {"test_every_model_is_that_of_a_fit_of_its_own[2-1.0-coordinate-descent]"},
    "test_cli": {"test_images_as_bytes"},
    "test_gpu_check": {
        "test_the_pass_of_many_classes_is_measured_once_it_is_right",
        "test_products_are_measured_once_they_are_right",
        "test_the_pass_is_measured_once_it_is_right[uint8]",
    },
    "test_encoded_rows": {"test_many_categories_are_sparse", "test_new_rows_of_another_kind"},
    "test_damaged_models": {"test_memory_and_a_model_from_a_pipe"},
    "test_given_back": {"test_fits_that_follow_can_use_all_memory"},
    "test_device": {"test_a_small_fit_on_the_cpu_imports_neither_cupy_nor_numba"},
}
"""Single tests that take seconds, of claims that others repeat on less, or that hardly a change can touch."""


def slow(value: Any) -> Any:
    """A value for ``parametrize``, or a tuple of values for several names, marked ``slow``."""
    return pytest.param(*(value if type(value) is tuple else (value,)), marks=pytest.mark.slow)


def thinned(values: Iterable[Any], keep: Callable[[Any], bool]) -> list[Any]:
    """Values for ``parametrize``, of which those that ``keep`` refuses are marked ``slow``."""
    return [value if keep(value) else slow(value) for value in values]


def every_other(values: Iterable[Any]) -> list[Any]:
    """Values for ``parametrize``, of which the second, the fourth, ... are marked ``slow``."""
    return [slow(value) if k % 2 else value for k, value in enumerate(values)]
