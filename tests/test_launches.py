"""What a compiled program starts, counted in texts as XLA writes them."""

from jaxnas.targets.launches import launches

LOOP = """HloModule jit_step, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

%body.1 (arg.1: (s32[], f32[8])) -> (s32[], f32[8]) {
  %arg.1 = (s32[], f32[8]{0}) parameter(0)
  %counter = s32[] get-tuple-element(%arg.1), index=0
  %value = f32[8]{0} get-tuple-element(%arg.1), index=1
  %one = s32[] constant(1)
  %next = s32[] add(%counter, %one), backend_config={"estimated_cycles":"10"}
  %sine = f32[8]{0} fusion(%value), kind=kLoop, calls=%fused, backend_config={"estimated_cycles":"100"}
  ROOT %both = (s32[], f32[8]{0}) tuple(%next, %sine)
}

%condition.1 (arg.2: (s32[], f32[8])) -> pred[] {
  %arg.2 = (s32[], f32[8]{0}) parameter(0)
  %at = s32[] get-tuple-element(%arg.2), index=0
  %end = s32[] constant(7)
  ROOT %less = pred[] compare(%at, %end), direction=LT
}

%small (a: f32[8]) -> f32[8] {
  %a = f32[8]{0} parameter(0)
  ROOT %negated = f32[8]{0} negate(%a)
}

%large (b: f32[8]) -> f32[8] {
  %b = f32[8]{0} parameter(0)
  %twice = f32[8]{0} add(%b, %b)
  ROOT %again = f32[8]{0} multiply(%twice, %b)
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  %zero = s32[] constant(0)
  %start = (s32[], f32[8]{0}) tuple(%zero, %x)
  %loop = (s32[], f32[8]{0}) while(%start), condition=%condition.1, body=%body.1@KNOWN@
  %result = f32[8]{0} get-tuple-element(%loop), index=1
  %which = s32[] convert(%zero)
  ROOT %chosen = f32[8]{0} conditional(%which, %result, %result), branch_computations={%small, %large}
}
"""


def test_a_loop_counts_with_all_its_turns_and_a_conditional_with_its_larger_branch():
    """7 turns of 2 operations; the conversion; the conditional itself and 2 operations of its branch."""
    for known in (', backend_config={"known_trip_count":{"n":"7"}}', ""):
        found = launches(LOOP.replace("@KNOWN@", known))
        assert found["operations"] == 7 * 2 + 1 + 1 + 2
        assert found["conditionals"] == 1
        assert found["cycles"] == 7 * (10 + 100)
        assert found["open loops"] == 0


def test_of_a_loop_without_a_known_end_one_turn_counts():
    text = LOOP.replace("@KNOWN@", "").replace("  %end = s32[] constant(7)\n", "  %end = s32[] copy(%at)\n")
    found = launches(text)
    assert found["open loops"] == 1
    assert found["operations"] == 2 + 1 + 1 + 2
