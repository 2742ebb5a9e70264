"""The completion scripts of the shells. Each asks `pouch __complete WORDS...` (see `completion`) and shows what that answers.

The answer's first line says how to go on: `files` or `directories` of this host fit too, `nospace` after the word. The
others are a candidate each, with a tab before what it means.
"""

from __future__ import annotations

BASH = r"""# bash completion for pouch: `source <(pouch completion bash)`, or a file in bash-completion's folder.
_pouch() {
    # Bash cuts words at = and : (COMP_WORDBREAKS); what stood together is put together again.
    local -a words=()
    local word glue='' index rest=${COMP_LINE:0:COMP_POINT}
    for ((index = 0; index <= COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if ((index > 0)) && [[ -n $glue || $word == [=:]* ]] && [[ $rest != [[:space:]]* ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
        while [[ $rest == [[:space:]]* ]]; do rest=${rest#?}; done
        rest=${rest#"$word"}
        [[ $word == *[=:] ]] && glue=1 || glue=
    done
    local current=${words[${#words[@]} - 1]} kind='' line
    local -a found=()
    while IFS= read -r line; do
        if [[ -z $kind ]]; then kind=${line:-none}; else found+=("$line"); fi
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    # What bash is to replace begins after the last = or : of the word.
    local before=
    [[ $current == *[=:]* ]] && before=${current%"${current##*[=:]}"}
    COMPREPLY=()
    for line in "${found[@]}"; do
        line=${line%%$'\t'*}
        COMPREPLY+=("${line#"$before"}")
    done
    case $kind in
        *files*) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "${current#"$before"}") ;;
        *directories*) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "${current#"$before"}") ;;
    esac
    # As names of files they are quoted and folders get their slash; candidates of ours stay as they are.
    case $kind in *files* | *directories*) ((${#found[@]})) || compopt -o filenames ;; esac 2>/dev/null
    case $kind in *nospace*) compopt -o nospace ;; esac 2>/dev/null
    return 0
}
complete -F _pouch pouch
"""

ZSH = r"""#compdef pouch
# zsh completion for pouch: `source <(pouch completion zsh)`, or this as `_pouch` in a folder of $fpath.
_pouch() {
    local -a answer values shown options
    local line tab=$'\t'
    answer=("${(@f)$("${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    local kind=$answer[1]
    for line in "${(@)answer[2,-1]}"; do
        [[ -n $line ]] || continue
        values+=("${line%%$tab*}")
        if [[ $line == *$tab* ]]; then shown+=("${line%%$tab*}  -- ${line#*$tab}"); else shown+=("$line"); fi
    done
    [[ $kind == *nospace* ]] && options=(-S '')
    if [[ "$shown" == "$values" ]]; then
        compadd "${(@)options}" -a values
    else
        compadd -l "${(@)options}" -d shown -a values
    fi
    case $kind in
        *files*) _files ;;
        *directories*) _files -/ ;;
    esac
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _pouch "$@"; else compdef _pouch pouch; fi
"""

FISH = r"""# fish completion for pouch: `pouch completion fish | source`, or a file in fish's folder of completions.
function __pouch_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answer ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
    if set -q answer[2]
        printf '%s\n' $answer[2..-1]
    end
    switch "$answer[1]"
        case '*files*'
            __fish_complete_path "$current"
        case '*directories*'
            __fish_complete_directories "$current"
    end
end
complete -c pouch -f -a '(__pouch_complete)'
"""

SCRIPTS = {"bash": BASH, "fish": FISH, "zsh": ZSH}
