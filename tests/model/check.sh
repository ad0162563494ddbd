#!/usr/bin/env bash
# Checks outbox.pml with spin and gcc (Debian: spin, gcc): what was built keeps every property, and each variant with an
# ingredient removed breaks the properties named for it. One line a check; exits 1 on a difference, 2 where a tool fails.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work" || exit 2
bad=0
# name | flags | properties | whether they hold or break
while IFS='|' read -r name flags properties expected; do
  # shellcheck disable=SC2086
  spin -a $flags "$here/outbox.pml" >tool.log 2>&1 && gcc -O1 -DNFAIR=3 -DCOLLAPSE -w -o pan pan.c >>tool.log 2>&1 ||
    { cat tool.log; exit 2; }
  for property in $properties; do
    case $property in leaves|ends) fair=-f ;; *) fair= ;; esac
    # shellcheck disable=SC2086
    ./pan -a $fair -m1000000 -N "$property" >run.log 2>&1
    errors=$(grep -oE 'errors: [0-9]+' run.log | grep -oE '[0-9]+$')
    if [ -z "$errors" ] || grep -Eq 'search depth too small|out of memory' run.log; then cat run.log; exit 2; fi
    if [ "$errors" = 0 ]; then got=holds; else got=breaks; fi
    [ "$got" = "$expected" ] || bad=1
    printf '%-46s %-8s %-6s (expected: %s)\n' "$name" "$property" "$got" "$expected"
  done
done <<'TABLE'
what was built||once earned kept sighted told apart leaves ends|holds
dial once|-DONESHOT|leaves ends|breaks
ALLOW_DUPLICATE, with the claim still there|-DALLOW_DUP|once|holds
no claim|-DNOCLAIM|once|breaks
nobody compares rows with Temporal|-DNOAUDIT|ends|breaks
marked submitted before Temporal was asked|-DMARKFIRST -DNOAUDIT|ends|breaks
IN_PROGRESS is submitted again|-DREDO|once|breaks
unreachable is taken for empty|-DBLIND|sighted|breaks
completed before the outcome is reported|-DREPORTLAST|told|breaks
no epoch in claims and reports|-DNOEPOCH|apart|breaks
TABLE
exit $bad
