#compdef stigmer
# Completion of stigmer for zsh. Written by `stigmer completion install`, or load it once with:
#   source <(stigmer completion zsh)

_stigmer() {
    local program=${(Q)words[1]} kind line
    local -a lines values shown
    local -i width=0
    [[ $program == '~/'* ]] && program=$HOME/${program#'~/'}
    # An alias that was not expanded is no program.
    whence -p -- $program >/dev/null || program=stigmer
    lines=("${(@f)$(
        _STIGMER_COMPLETE=zsh $program "${(@Q)words[2,CURRENT-1]}" "$PREFIX" </dev/null 2>/dev/null
    )}")
    kind=$lines[1]
    shift lines
    case $kind in
        files)
            [[ $PREFIX == -*=* ]] && compset -P '*='
            _files
            ;;
        values)
            (( $#lines )) || return 1
            values=("${(@)lines%%$'\t'*}")
            for line in $values; do (( width = $#line > width ? $#line : width )); done
            for line in $lines; do
                [[ $line == *$'\t'* ]] || continue
                line="${(r:width:)${line%%$'\t'*}}  -- ${line#*$'\t'}"
                # In columns of the terminal: a character may take two, and the last one is never halved.
                (( ${(m)#line} < COLUMNS )) || line=${(mr:COLUMNS-2:)line}
                shown+=("$line")
            done
            # stigmer has matched them (-U), and has them in order (-V): the newest execution comes first.
            if (( $#shown == $#values )); then
                compadd -V stigmer -U -l -d shown -a values
            else
                compadd -V stigmer -U -a values
            fi
            ;;
    esac
}

_stigmer_register() {
    add-zsh-hook -d precmd _stigmer_register
    if (( ! $+functions[compdef] )); then
        autoload -Uz compinit
        compinit -i
    fi
    compdef _stigmer stigmer
}

if [[ ${funcstack[1]-} == _stigmer ]]; then
    _stigmer "$@"
elif (( $+functions[compdef] )); then
    compdef _stigmer stigmer
else
    # Loaded before compinit: the first prompt comes after everything in .zshrc.
    autoload -Uz add-zsh-hook
    add-zsh-hook precmd _stigmer_register
fi
