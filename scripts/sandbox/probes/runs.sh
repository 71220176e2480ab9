# The same as runs.py where an image has a shell and no Python. A shell tells an exit status and no
# error's name: prints `WALL CONTROL ATTEMPT`, each a status, a line each; and a number for each
# process that was started.
command -v unshare >/dev/null 2>&1
control=$?
unshare -U true >/dev/null 2>&1
echo "user-namespace $control $?"
sleep 0
control=$?
(
    started=
    trap 'kill $started' EXIT
    number=0
    while [ "$number" -lt "$1" ]; do
        sleep 10 &
        started="$started $!"
        number=$((number + 1))
        echo "$number"
    done
) 2>/dev/null
echo "processes $control $?"
