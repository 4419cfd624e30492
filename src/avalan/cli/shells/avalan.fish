# Tab completes avalan in fish. To keep it:
#   avalan completion fish > ~/.config/fish/completions/avalan.fish
# What is typed and what is offered are data here: nothing is evaluated.
function __avalan_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -e before[1]
    set -l lines (command avalan completion fish --words -- $before "$current" 2>/dev/null </dev/null)
    set -l paths $lines[1]
    set -e lines[1]
    test (count $lines) -gt 0; and printf '%s\n' $lines
    # fish completes paths itself, quotes and all, for a command that it does not know.
    switch "$paths"
        case files
            complete -C "__avalan_paths $current"
        case folders
            complete -C "__avalan_paths $current" | string match -r '.*/$'
    end
end
complete -c avalan -f -a '(__avalan_complete)'
