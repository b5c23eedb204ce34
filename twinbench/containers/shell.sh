# Runs commands one after the other, each in a subshell and process group of its own; read from standard input, where
# the commands follow it. Arguments: the interpreter.
#
# In: token, cookie, directory and command, each ended by NUL. Out: "<token> <process group>", then what the command
# writes, then "<token> <exit code>". Only twinbench knows the token. The cookie is in the environment of the command, so
# that whatever it starts can be found. Descriptors: 3 is the way out, 4 and 5 are a command's pipe, 6 is nothing to read,
# 7 is cat.
#
# Commands may remove any file of the container, and the shell still says at once what becomes of them: without /dev
# there is no pipe and a command writes to the way out itself. cat is run from a descriptor, since a command that removes
# it may be faster than its start; an image without it has the shell copy line by line.
exec 3>&1 6</dev/null >/dev/null 2>&1
set -m
copies=copy
hash cat && exec 7<"${BASH_CMDS[cat]}" && copies=/proc/self/fd/7

copy() {
    LC_ALL=C
    while IFS= read -r line; do printf '%s\n' "$line"; done
}

while IFS= read -r -d '' token && IFS= read -r -d '' cookie && IFS= read -r -d '' directory && IFS= read -r -d '' command
do
    if [[ -n $relay && /proc/$relay/fd/0 -ef /proc/self/fd/5 ]]; then
        # The last command left something running that may still write. It is not heard any more, and not stopped.
        "$copies" <&5 3>&- 5<&- 6<&- &
        kill -KILL "$relay"
        wait "$relay"
    fi
    piped=1
    exec 4<> <(:) 5</proc/self/fd/4 || { piped=; relay=; exec 4>&3; }
    if [[ -n $piped ]]; then
        "$copies" <&5 >&3 3>&- 4>&- 5<&- 6<&- &
        relay=$!
    fi
    (
        printf '%s %d\n' "$token" "$BASHPID"
        cd -- "$directory" && TWINBENCH_COMMAND=$cookie exec "$@" "$command"
    ) <&6 >&4 2>&1 3>&- 4>&- 5<&- 6<&- 7<&- &
    process=$!
    wait -f "$process" # to its end: one that was stopped has not ended
    # Through the command's own pipe, so that it stands behind all that the command wrote.
    printf '%s %d\n' "$token" "$?" >&4
    exec 4>&-
done
