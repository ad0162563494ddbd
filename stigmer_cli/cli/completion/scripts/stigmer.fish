# Completion of stigmer for fish. Written by `stigmer completion install`, or load it once with:
#   stigmer completion fish | source

function __stigmer_complete
    set -l words (commandline -opc)
    set -l token (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    # An alias is a function, and no program.
    command -q -- $program; or set program stigmer
    set -e words[1]
    set -l lines (env _STIGMER_COMPLETE=fish $program $words "$token" </dev/null 2>/dev/null)
    switch "$lines[1]"
        case files
            set -l option (string match -r -- '^-[^=]*=' "$token")
            printf "$option%s\n" (__fish_complete_path (string replace -- "$option" '' "$token"))
        case values
            set -e lines[1]
            printf '%s\n' $lines
    end
end

complete -c stigmer -e
complete -c stigmer -k -f -a '(__stigmer_complete)'
