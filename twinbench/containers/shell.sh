# Runs commands one after the other, each in a subshell and process group of its own; read from standard input, where
# the commands follow it. Arguments: the interpreter.
#
# In: token, cookie, directory and command, each ended by NUL. Out: "<token> <process group>", then what the command
# writes, then "<token> <exit code>". Only twinbench knows the token. The cookie is in the environment of the command, so
# that whatever it starts can be found. Descriptors: 3 is the way out, 4 and 5 are a command's pipe.
exec 3>&1 >/dev/null 2>&1
set -m
while IFS= read -r -d '' token && IFS= read -r -d '' cookie && IFS= read -r -d '' directory && IFS= read -r -d '' command
do
    if [[ -n $relay && /proc/$relay/fd/0 -ef /proc/self/fd/5 ]]; then
        # The last command left something running that may still write. It is not heard any more, and not stopped.
        cat <&5 3>&- 5<&- &
        kill -KILL "$relay"
        wait "$relay"
    fi
    exec 4<> <(:) 5</proc/self/fd/4
    (
        printf '%s %d\n' "$token" "$BASHPID"
        cd -- "$directory" && TWINBENCH_COMMAND=$cookie exec "$@" "$command"
    ) </dev/null >&4 2>&1 3>&- 4>&- 5<&- &
    process=$!
    cat <&5 >&3 3>&- 4>&- 5<&- &
    relay=$!
    wait -f "$process" # to its end: one that was stopped has not ended
    # Through the command's own pipe, so that it stands behind all that the command wrote.
    printf '%s %d\n' "$token" "$?" >&4
    exec 4>&-
done
