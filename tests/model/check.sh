#!/usr/bin/env bash
# Checks outbox.pml with spin (Debian: spin, gcc): what was built holds, and with an ingredient removed exactly the
# properties in the table break. Prints one line a variant; exits 1 on any difference, 2 where the tools fail.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work" || exit 2
bad=0
# name | flags | properties expected to break
while IFS='|' read -r name flags breaks; do
  # shellcheck disable=SC2086
  spin -a $flags "$here/outbox.pml" >gen.log 2>&1 || { cat gen.log; exit 2; }
  gcc -O1 -DNFAIR=3 -DCOLLAPSE -w -o pan pan.c 2>gen.log || { cat gen.log; exit 2; }
  got=
  for property in once earned kept sighted told apart leaves ends; do
    case $property in leaves|ends) fair=-f ;; *) fair= ;; esac
    # shellcheck disable=SC2086
    ./pan -a $fair -m1000000 -N $property >run.log 2>&1
    grep -q 'errors: ' run.log || { cat run.log; exit 2; }
    grep -Eq 'max search depth too small|out of memory' run.log && { cat run.log; exit 2; }
    grep -q 'errors: 0' run.log || got="$got $property"
  done
  if [ "${got# }" = "$breaks" ]; then verdict=as-expected; else verdict=DIFFERENT; bad=1; fi
  printf '%-12s %-44s breaks: %-20s expected: %s\n' "$verdict" "$name" "${got# }" "$breaks"
done <<'TABLE'
what was built||
dial once|-DONESHOT|leaves ends
ALLOW_DUPLICATE, and the claim still holds|-DALLOW_DUP|
no claim|-DNOCLAIM|once
no claim, ALLOW_DUPLICATE|-DNOCLAIM -DALLOW_DUP|once
nobody compares rows with Temporal|-DNOAUDIT|ends
marked submitted before Temporal was asked|-DMARKFIRST -DNOAUDIT|ends
IN_PROGRESS is submitted again|-DREDO|once
unreachable is taken for empty|-DBLIND|sighted
completed before the outcome is reported|-DREPORTLAST|told
no epoch in claims and reports|-DNOEPOCH|apart
TABLE
exit $bad
