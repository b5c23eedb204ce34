"""What a command in a sandbox gives, what it leaves, and what it may take."""

from __future__ import annotations

import hashlib
import re
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.containers.conftest import OpenSandbox
from tests.containers.running import SMALL, ours, said
from tests.timing import until
from twinbench.causes import CAUSES, Cause, OutcomeClass
from twinbench.containers.engine import ContainerLostError, Engine, EngineLostError
from twinbench.containers.labels import NAMESPACE, container_namespace
from twinbench.containers.sandbox import Sandbox, WriteLimitError
from twinbench.containers.shell import Ended


def test_a_command_gives_its_output_and_exit_code(sandbox: Sandbox) -> None:
    ran = sandbox.run_command("echo one; echo two >&2; echo three; exit 7")
    assert (ran.output, ran.exit_code, ran.ended, ran.output_bytes) == ("one\ntwo\nthree\n", 7, Ended.exited, 14)
    assert 0 < ran.seconds < 10


def test_both_streams_come_in_their_order(sandbox: Sandbox) -> None:
    assert said(sandbox, "for n in $(seq 500); do echo o$n; echo e$n >&2; done") == "".join(
        f"o{number}\ne{number}\n" for number in range(1, 501)
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [("true", 0), ("false", 1), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -9 $$", 137), ("no-such-thing", 127)],
)
def test_an_exit_code_is_the_shells(command: str, code: int, sandbox: Sandbox) -> None:
    ran = sandbox.run_command(command)
    assert (ran.exit_code, ran.ended) == (code, Ended.exited)


def test_files_stay_while_directory_and_variables_are_forgotten(sandbox: Sandbox) -> None:
    assert said(sandbox, "cd /usr && export A=1 && B=2 && f() { :; } && umask 077 && echo kept >/root/file && pwd") == (
        "/usr\n"
    )
    assert said(sandbox, "pwd; echo $A$B; declare -F; umask; cat /root/file") == "/\n\n0022\nkept\n"


def test_a_command_runs_in_its_directory(sandbox: Sandbox) -> None:
    said(sandbox, "mkdir -p '/srv/a \" $(id) b'")
    assert sandbox.run_command("pwd", directory='/srv/a " $(id) b').output == '/srv/a " $(id) b\n'
    ran = sandbox.run_command("echo ran", directory="/nowhere")
    assert ran.exit_code == 1
    assert "/nowhere: No such file or directory" in ran.output
    assert "ran" not in ran.output.split()


def test_a_command_has_nothing_to_read(sandbox: Sandbox) -> None:
    assert said(sandbox, "cat; read -t 5 x || echo nothing") == "nothing\n"


def test_what_goes_on_in_the_background_goes_on_and_is_not_heard_later(sandbox: Sandbox) -> None:
    def lines() -> int:
        heard = said(sandbox, "wc -l </tmp/alive")
        assert re.fullmatch(r"\d+\n", heard), "nothing but the command's own number is heard"
        return int(heard)

    loop = "while test -e /tmp/on; do echo noise; echo x >>/tmp/alive; sleep 0.02; done"
    said(sandbox, f":>/tmp/on; :>/tmp/alive; {loop} &")
    try:
        for enough in (1, 5, 10, 20):
            until(lambda: lines() >= enough)  # noqa: B023 - it is done before the next
    finally:
        said(sandbox, "rm /tmp/on")


def test_output_without_end_in_the_background_harms_no_later_command(sandbox: Sandbox) -> None:
    assert said(sandbox, "yes & echo $! >/tmp/yes; sleep 0.1; echo over")
    for number in range(5):
        assert said(sandbox, f"echo {number}") == f"{number}\n"
    assert said(sandbox, "kill $(cat /tmp/yes) && echo it ran") == "it ran\n"


def test_what_is_no_text_is_replaced(sandbox: Sandbox) -> None:
    ran = sandbox.run_command(r"printf 'a\xff\xfeb\0c\xe2\x82'")
    assert (ran.output, ran.output_bytes) == ("a��b\0c�", 8)
    assert said(sandbox, "printf 'grüße 🐳 %s' 'ß'") == "grüße 🐳 ß"


def test_a_command_that_is_odd_text_arrives_as_it_is(sandbox: Sandbox) -> None:
    assert said(sandbox, "printf %s 'half a \udcff' | od -An -tx1") == " 68 61 6c 66 20 61 20 ff\n"
    assert said(sandbox, "cat <<'END'\n$x `y` \"z\" \\\n\nEND\n") == '$x `y` "z" \\\n\n'
    assert sandbox.run_command("").exit_code == 0
    assert said(sandbox, "echo before\0echo after") == "before\n"


def test_much_output_keeps_its_beginning_and_its_end(sandbox: Sandbox) -> None:
    ran = sandbox.run_command("seq 100000", keep_bytes=1000)
    whole = "".join(f"{number}\n" for number in range(1, 100_001))
    assert ran.output_bytes == len(whole)
    assert ran.output == f"{whole[:500]}\n[… {len(whole) - 1000:,} bytes left out …]\n{whole[-500:]}"
    exact = sandbox.run_command("head -c 1000 /dev/zero | tr '\\0' x", keep_bytes=1000)
    assert exact.output == "x" * 1000


def test_a_gigabyte_of_output_takes_no_memory_here(sandbox: Sandbox) -> None:
    process = psutil.Process()
    most = [0]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            most[0] = max(most[0], process.memory_info().rss)

    said(sandbox, "head -c 10M /dev/zero")
    before = process.memory_info().rss
    watcher = threading.Thread(target=look)
    watcher.start()
    ran = sandbox.run_command("head -c 1G /dev/zero", timeout_s=60)
    over.set()
    watcher.join()
    assert (ran.exit_code, ran.output_bytes) == (0, 2**30)
    assert len(ran.output) < 2**20 + 100
    assert most[0] - before < 40 * 2**20


def test_a_flood_before_a_command_has_begun_takes_no_memory_here(open_sandbox: OpenSandbox) -> None:
    with open_sandbox() as opened:
        said(opened, "(sleep 0.2; kill -STOP $PPID; exec yes >/proc/$PPID/fd/3) & echo on")
        time.sleep(1)
        before = psutil.Process().memory_info().rss
        ran = opened.run_command("echo never", timeout_s=2)
        assert (ran.ended, ran.output) == (Ended.timeout, "")
        assert psutil.Process().memory_info().rss - before < 40 * 2**20
        assert said(opened, "echo usable") == "usable\n"


def test_a_long_command_runs_and_a_longer_one_is_told(sandbox: Sandbox) -> None:
    assert said(sandbox, f": {'x' * 100_000}; echo ran") == "ran\n"
    ran = sandbox.run_command(f": {'x' * 300_000}; echo ran")
    assert ran.exit_code == 126
    assert "Argument list too long" in ran.output
    assert said(sandbox, "echo usable") == "usable\n"


def test_an_end_that_a_command_makes_up_is_output(sandbox: Sandbox) -> None:
    made_up = [f"{'0' * 32} 0\n", f"{'f' * 32} 1\n{'f' * 32} 0\n", "\0\0\1\0\0\0\0\5hello"]
    for text in made_up:
        octal = "".join(f"\\{ord(character):03o}" for character in text)
        ran = sandbox.run_command(f"printf '{octal}'; echo later; exit 3")
        assert ran.exit_code == 3
        assert ran.output == f"{text}later\n"


def test_the_token_is_not_in_reach_of_a_command(sandbox: Sandbox) -> None:
    """Nor is the way out, by which an end could be told."""
    assert said(sandbox, "env; set; cat /proc/$$/environ /proc/$$/cmdline | tr '\\0' '\\n'").count("token") <= 0
    assert said(sandbox, "ls /proc/self/fd | tr '\\n' ' '") == "0 1 2 3 "  # 3 is the folder that ls lists


def test_a_file_has_a_largest_size(sandbox: Sandbox) -> None:
    ran = sandbox.run_command("head -c 100M /dev/zero >/big; echo $?; stat -c %s /big; rm /big; ulimit -Hf")
    assert re.search(rf"\b153\n{SMALL.file_mib * 2**20}\n{SMALL.file_mib * 2**10}\n", ran.output)


def test_a_container_has_no_network_no_socket_and_no_more_rights_than_docker_gives(
    sandbox: Sandbox, open_sandbox: OpenSandbox
) -> None:
    assert said(sandbox, "ls /sys/class/net") == "lo\n"
    reached = sandbox.run_command("timeout 5 bash -c 'echo x >/dev/tcp/1.1.1.1/80'")
    assert "Network is unreachable" in reached.output
    assert said(sandbox, "find / -xdev -name 'docker*.sock' 2>/dev/null; ls /var/run").count("sock") == 0
    status = said(sandbox, "cat /proc/self/status")
    assert "CapEff:\t00000000a80425fb\n" in status  # what Docker leaves to root
    assert "NoNewPrivs:\t1\n" in status
    sys_admin = 1 << 21
    with open_sandbox(sys_admin=True) as opened:
        held = int(re.findall(r"CapEff:\t(\w+)", said(opened, "cat /proc/self/status"))[0], 16)
    assert held == 0xA80425FB | sys_admin


def test_memory_is_limited_and_the_container_outlives_the_hog(sandbox: Sandbox) -> None:
    ran = sandbox.run_command("exec python3 -c 'x = bytearray(b\"x\") * (600 * 2**20)'")
    assert (ran.exit_code, ran.ended) == (137, Ended.exited)
    assert said(sandbox, "echo usable") == "usable\n"


def test_a_network_is_there_where_it_is_wanted(open_sandbox: OpenSandbox) -> None:
    with open_sandbox(network=True) as opened:
        assert said(opened, "ls /sys/class/net").split() != ["lo"]


def test_variables_and_interpreter_are_as_wanted(open_sandbox: OpenSandbox) -> None:
    odd = 'a "quoted" $word\nand a line'
    with open_sandbox(environment={"ODD": odd}, interpreter=("python3", "-c")) as opened:
        ran = opened.run_command("import os, sys; print(os.environ['ODD'], sys.argv); sys.exit(4)")
        assert (ran.output, ran.exit_code) == (f"{odd} ['-c']\n", 4)
    with open_sandbox(environment={"A": "1"}, interpreter=("bash", "-lc")) as opened:
        assert said(opened, "echo $A; shopt -q login_shell && echo login; echo $BASH_ENV$HOME") == "1\nlogin\n/root\n"


def test_two_sandboxes_at_once_do_not_mix(open_sandbox: OpenSandbox) -> None:
    def work(name: str) -> list[str]:
        with open_sandbox(case=name) as opened:
            said(opened, f"echo {name} >/who")
            return [said(opened, f"sleep 0.0{number}; cat /who; seq 1000 | wc -l") for number in range(5)]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, ("one", "other"))) == [["one\n1000\n"] * 5, ["other\n1000\n"] * 5]


def test_files_are_put_where_they_should_be(sandbox: Sandbox) -> None:
    said(sandbox, "mkdir -p /srv/folder")
    content = bytes(range(256)) * 100
    sandbox.put({"/srv/folder/one": content, "/two": b""})
    assert said(sandbox, "wc -c </srv/folder/one; wc -c </two; stat -c '%a %U' /srv/folder/one") == (
        "25600\n0\n644 root\n"
    )
    assert said(sandbox, "sha256sum </srv/folder/one").split()[0] == hashlib.sha256(content).hexdigest()


def test_a_container_that_writes_too_much_is_ended_and_its_case_with_it(open_sandbox: OpenSandbox) -> None:
    writes = "for n in {1..100}; do head -c 20M /dev/zero >/file$n; sleep 0.05; done"
    with open_sandbox(written_mib=50) as opened:
        for command in (writes, "echo anything", "true"):
            with pytest.raises(WriteLimitError, match=r"wrote \d[\d,]* MiB, but only 50 are allowed") as raised:
                opened.run_command(command, timeout_s=20)
            assert raised.value.cause is Cause.writes
    assert CAUSES[Cause.writes].outcome_class is OutcomeClass.unresolved


def test_a_container_that_is_ended_from_outside_is_lost_and_no_result(open_sandbox: OpenSandbox) -> None:
    with open_sandbox() as opened:
        killer = threading.Timer(0.5, opened.container.kill)
        killer.start()
        with pytest.raises(ContainerLostError, match="ended from outside") as raised:
            opened.run_command("echo before; sleep 20")
        assert raised.value.cause is Cause.container
        with pytest.raises(ContainerLostError):
            opened.run_command("echo later")
        killer.join()
    with open_sandbox() as opened:
        opened.container.remove(force=True)
        with pytest.raises((ContainerLostError, EngineLostError)):
            opened.run_command("echo later")
    assert CAUSES[Cause.container].outcome_class is OutcomeClass.infra


def test_nothing_is_left_of_a_sandbox_however_its_block_ends(engine: Engine, open_sandbox: OpenSandbox) -> None:
    def left() -> list[str]:
        return [each.id or "" for each in ours(engine, "case") if each.labels["twinbench.case"] == "gone"]

    def interrupted() -> None:
        with open_sandbox(case="gone") as opened:
            said(opened, "sleep 1000 & sleep 0")
            assert len(left()) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert left() == []


def test_an_image_of_another_user_and_entry_point_runs_as_any_other(engine: Engine, base_image: str) -> None:
    name = f"twinbench-test-{uuid.uuid4().hex[:8]}"
    made = engine.client.containers.create(base_image, ["true"], labels={NAMESPACE: container_namespace()})
    try:
        image = made.commit(
            name,
            "user",
            changes=["USER nobody", 'ENTRYPOINT ["/bin/false"]', "WORKDIR /var", "ENV A=b"],
        )
    finally:
        made.remove()
    try:
        with Sandbox(engine, f"{name}:user", "case", limits=SMALL) as opened:
            assert said(opened, "id -un; pwd; echo $A") == "root\n/\nb\n"
    finally:
        engine.client.images.remove(str(image.id))
