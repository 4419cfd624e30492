#compdef avalan
# Tab completes avalan in zsh. In ~/.zshrc:  eval "$(avalan completion zsh)"
# What is typed and what is offered are data here: nothing is evaluated.
_avalan() {
    local paths line word text ret=1
    local -a lines values shown
    lines=("${(@f)$(command avalan completion zsh --words -- "${(@)words[2,CURRENT-1]}" "$PREFIX" \
        2>/dev/null </dev/null)}")
    paths=$lines[1]
    for line in "${(@)lines[2,-1]}"; do
        word=${line%%$'\t'*}
        text=${line#$word}
        text=${text#$'\t'}
        values+=("$word")
        (( $#word < 28 )) && word=${(r:28:)word}
        text="$word${text:+  -- $text}"
        shown+=("${text[1,${COLUMNS:-80}-1]}")
    done
    if (( $#values )); then
        compadd -l -d shown -a values && ret=0
    fi
    [[ $PREFIX == --*=* ]] && compset -P '*='
    case $paths in
        files) _files && ret=0 ;;
        folders) _files -/ && ret=0 ;;
    esac
    return ret
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _avalan "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _avalan avalan
fi
