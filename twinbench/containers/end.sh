# Ends what a command started: its process group, politely and then not, and whatever has its cookie and left the group.
# Arguments: the process group, the cookie. Builtins only, since there may be no process left to be had.
exec 2>/dev/null
limit=$((${EPOCHREALTIME/[.,]/} + 500000))
kill -TERM -- "-$1"
while kill -0 -- "-$1" && ((${EPOCHREALTIME/[.,]/} < limit)); do :; done
kill -KILL -- "-$1"
for ((round = 0; round < 100; round++)); do
    found=
    for directory in /proc/[0-9]*; do
        while IFS= read -r -d '' entry; do
            if [[ $entry == "TWINBENCH_COMMAND=$2" ]]; then
                kill -KILL "${directory#/proc/}" && found=1
                break
            fi
        done <"$directory/environ"
    done
    [[ -n $found ]] || exit 0
done
exit 1
