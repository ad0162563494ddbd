#!/usr/bin/env bash
# Checks outbox.pml, identity.pml and journal.pml with spin and gcc (Debian: spin, gcc): what was built keeps every
# property, and each variant with an ingredient removed breaks the properties named for it. One line a check; exits 1 on a
# difference, 2 where a tool fails.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work" || exit 2
bad=0
# model | name | flags | properties | whether they hold or break
while IFS='|' read -r model name flags properties expected; do
  # shellcheck disable=SC2086
  spin -a $flags "$here/$model.pml" >tool.log 2>&1 && gcc -O1 -DNFAIR=3 -DCOLLAPSE -w -o pan pan.c >>tool.log 2>&1 ||
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
outbox|what was built||once earned kept sighted told apart leaves ends|holds
outbox|dial once|-DONESHOT|leaves ends|breaks
outbox|ALLOW_DUPLICATE, with the claim still there|-DALLOW_DUP|once|holds
outbox|no claim|-DNOCLAIM|once|breaks
outbox|nobody compares rows with Temporal|-DNOAUDIT|ends|breaks
outbox|marked submitted before Temporal was asked|-DMARKFIRST -DNOAUDIT|ends|breaks
outbox|IN_PROGRESS is submitted again|-DREDO|once|breaks
outbox|unreachable is taken for empty|-DBLIND|sighted|breaks
outbox|completed before the outcome is reported|-DREPORTLAST|told|breaks
outbox|no epoch in claims and reports|-DNOEPOCH|apart|breaks
identity|two stores on one Temporal||ends own once|holds
identity|one task queue for both stores|-DONEQUEUE -DCOMPLETES|ends|breaks
identity|a stranger's task is completed|-DCOMPLETES|ends|breaks
identity|handed back, and submitted under the same id|-DSAMEEPOCH|ends|breaks
identity|a claim by any workflow|-DANYCLAIM|own|breaks
identity|two Temporals on one store|-DTEMPORALS|spared|holds
identity|and nobody registers|-DTEMPORALS -DNOREGISTRY|spared|breaks
journal|the journal||once done fits stays own calm ends|holds
journal|no unknown state|-DFAULTS=1 -DNOUNKNOWN|once|breaks
journal|no epoch in begin and finish|-DFAULTS=1 -DNOEPOCH|own|breaks
journal|no input hash|-DFAULTS=1 -DNOHASH|fits|breaks
journal|acting before saying so|-DFAULTS=1 -DNOBEGIN|once|breaks
journal|any attempt ends a step|-DFAULTS=1 -DNONONCE|stays|breaks
journal|resumed without its journal|-DFAULTS=1 -DFORGETS|once|breaks
journal|resumed whatever is in the air: begin sees it|-DFAULTS=1 -DBLIND|once|holds
journal|a decision is followed twice|-DDECIDESTWICE|once|breaks
TABLE
exit $bad
