# Completion of stigmer for bash, from 3.2 on. Written by `stigmer completion install`, or load it once with:
#   source <(stigmer completion bash)

_stigmer() {
    COMPREPLY=()
    local program=$1 answer line
    # An alias, or a path that the shell has not expanded, is no program.
    type -P -- "$program" >/dev/null 2>&1 || program=stigmer
    answer=$(
        _STIGMER_COMPLETE=bash _STIGMER_LINE="${COMP_LINE:0:COMP_POINT}" _STIGMER_WORD="${2-}" \
            "$program" </dev/null 2>/dev/null
    ) || return 0
    case $answer in
        files)
            if type compopt >/dev/null 2>&1; then
                compopt -o default 2>/dev/null || return 0
            else
                while IFS= read -r line; do
                    if [ -n "$line" ]; then COMPREPLY+=("$line"); fi
                done <<<"$(compgen -f -- "${2-}")"
            fi
            ;;
        values?*)
            while IFS= read -r line; do
                COMPREPLY+=("$line")
            done <<<"${answer#*$'\n'}"
            ;;
    esac
    return 0
}

# The newest execution comes first; a bash before 4.4 sorts by name.
complete -o nosort -F _stigmer stigmer 2>/dev/null || complete -F _stigmer stigmer
