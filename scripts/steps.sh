#!/usr/bin/env bash
# Runs make targets one after the other, all of them even if one fails, and closes with a summary.
#
# usage: scripts/steps.sh TARGET...
#
# The output of each goes to the terminal and to target/steps/TARGET.log. A step that takes longer
# than STEP_SECONDS_MAX is stopped and counts as failed: a hung test must not hang the machine that
# runs it. A step that says "skipped: why" in a line of its own did not check anything, and is not
# counted as passed. Exit status: 0 if no step failed, 1 otherwise.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

[ $# -gt 0 ] || { echo "usage: scripts/steps.sh TARGET..." >&2; exit 2; }

STEP_SECONDS_MAX=${STEP_SECONDS_MAX:-1200}
logs=target/steps
mkdir -p "$logs"
rm -f "$logs"/*.log

# On a terminal the steps stay in its foreground, so that Ctrl-C reaches them.
limit=(timeout --kill-after=30 "$STEP_SECONDS_MAX")
[ -t 1 ] && limit=(timeout --foreground --kill-after=30 "$STEP_SECONDS_MAX")

# The steps run one by one, whatever -j the outer make was given.
unset MAKEFLAGS MFLAGS

passed=()
skipped=()
failed=()
lines=()
started=$SECONDS
interrupted() {
    printf '\nmake: stopped in step %s\n' "$step"
    exit 130
}
trap interrupted INT TERM

for step in "$@"; do
    printf '\n=== make %s\n' "$step"
    step_started=$SECONDS
    "${limit[@]}" make "$step" 2>&1 | tee "$logs/$step.log"
    status=${PIPESTATUS[0]}
    seconds=$((SECONDS - step_started))
    case $status in
        0)
            what=$(grep -m 1 '^skipped: ' "$logs/$step.log") && skipped+=("$step")
            [ -n "$what" ] || { passed+=("$step") && what=passed; }
            ;;
        124 | 137) failed+=("$step") what="FAILED: stopped after ${STEP_SECONDS_MAX} s" ;;
        *) failed+=("$step") what=FAILED ;;
    esac
    lines+=("$(printf '%-10s %5d s  %s' "$step" "$seconds" "$what")")
done

# Sums what cargo test ("test result: ok. 3 passed; 0 failed; ...") and nextest ("Summary [ 1.0s] 3
# tests run: 2 passed, 1 failed, ...") say, over all steps.
counted=$(cat "$logs"/*.log | sed 's/\x1b\[[0-9;]*m//g' | awk '
    /^test result:|^ *Summary \[/ {
        for (i = 2; i <= NF; i++) {
            if ($i ~ /^passed/) passed += $(i - 1)
            if ($i ~ /^failed/) failed += $(i - 1)
        }
    }
    END { printf "%d tests passed, %d tests failed", passed, failed }')

printf '\n=== summary\n'
printf '%s\n' "${lines[@]}"
total=$((SECONDS - started))
for step in "${failed[@]}"; do
    printf 'failed: make %s (log: %s/%s.log)\n' "$step" "$logs" "$step"
done
printf '%s; %d steps passed, %d failed, %d skipped; %d min %02d s\n' "$counted" \
    "${#passed[@]}" "${#failed[@]}" "${#skipped[@]}" $((total / 60)) $((total % 60))
[ "${#failed[@]}" -eq 0 ]
