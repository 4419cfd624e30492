# Tab completes avalan in bash. In ~/.bashrc:  eval "$(avalan completion bash)"
# What is typed and what is offered are data here: nothing is evaluated.
_avalan() {
    local line paths=""
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ -z $paths ]]; then
            paths=$line
        else
            COMPREPLY+=("$line")
        fi
    done <<<"$(command avalan completion bash --words -- "${COMP_WORDS[@]:1:COMP_CWORD}" \
        2>/dev/null </dev/null)"
    # Without candidates bash goes on to files, unless it is told not to (bash 3 cannot be).
    case $paths in
        files) ;;
        folders) compopt +o default -o dirnames 2>/dev/null ;;
        *) compopt +o default 2>/dev/null ;;
    esac
    return 0
}
complete -o default -F _avalan avalan
