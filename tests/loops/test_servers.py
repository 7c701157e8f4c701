"""`lakeloop up` and its servers: guarded, told in one line when something is wrong, gone when it ends."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from tests.worlds.places import ROOT
from tests.worlds.servers.platform import Up, start, wait_for

STALL_S = 4


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with start(tmp_path_factory.mktemp("up"), "--no-materialize", LAKELOOP_STALL_S=str(STALL_S)) as process:
        wait_for(process, "Ctrl-C stops everything")
        yield process


@pytest.mark.parametrize("server", ["UI", "MLFLOW", "SERVING"])
@pytest.mark.parametrize("header", ["Host", "Origin"])
def test_no_server_answers_a_foreign_host_or_origin(running: Up, server: str, header: str) -> None:
    address = f"http://127.0.0.1:{running.ports[f'LAKELOOP_{server}_PORT']}/"
    value = "evil.example" if header == "Host" else "http://evil.example"
    assert httpx.get(address, timeout=20).status_code != 403
    assert httpx.get(address, headers={header: value}, timeout=20).status_code == 403
    assert httpx.post(address, headers={header: value}, timeout=20).status_code == 403


def test_no_address_changes_what_dagster_has(running: Up) -> None:
    address = f"http://127.0.0.1:{running.ports['LAKELOOP_UI_PORT']}/graphql"
    mutation = "mutation { reloadWorkspace { __typename } }"
    assert httpx.get(address, params={"query": "{ version }"}, timeout=20).json()["data"]["version"]
    assert httpx.get(address, params={"query": mutation}, timeout=20).status_code == 405
    assert httpx.post(address, json={"query": "{ version }"}, headers={"Origin": "http://127.0.0.1:1"}, timeout=20).status_code == 403
    own = {"Origin": address.removesuffix("/graphql"), "Sec-Fetch-Site": "same-origin"}
    assert "errors" not in httpx.post(address, json={"query": mutation}, headers=own, timeout=60).json()


def test_every_server_lets_go_of_a_client_that_says_nothing_or_stalls(running: Up) -> None:
    # Each path is of a route that reads the body.
    bodies = {"UI": "/graphql", "MLFLOW": "/api/2.0/mlflow-artifacts/artifacts/0/x", "SERVING": "/v2/models/x/infer"}
    with ExitStack() as stack:
        clients = []
        for server, path in bodies.items():
            port = running.ports[f"LAKELOOP_{server}_PORT"]
            head = f"{'PUT' if server == 'MLFLOW' else 'POST'} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n123"
            for sent in ("", head):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", int(port)), timeout=STALL_S * 5))
                client.sendall(sent.encode())
                clients.append((server, sent, client))
        for server, sent, client in clients:
            # No model of that name is served, which is said before its body is read.
            wanted = b"404" if server == "SERVING" and sent else b"408"
            assert client.recv(4096).split()[1] == wanted, server


@pytest.mark.parametrize(
    "path", ["/logs/../", "/logs/..%2f..%2fetc/passwd", "/logs/", "/logs/x", "/logs/a/b/c/d", "/logs/%00", "/notebook?path=/etc/passwd"]
)
def test_no_address_of_logs_is_an_error_of_the_server(running: Up, path: str) -> None:
    with socket.create_connection(("127.0.0.1", running.ports["LAKELOOP_UI_PORT"]), timeout=30) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        with client.makefile("rb") as stream:
            answer = stream.readline()
    assert 200 <= int(answer.split()[1]) < 500, answer


def test_mlflow_runs_without_its_assistant(running: Up) -> None:
    address = f"http://127.0.0.1:{running.ports['LAKELOOP_MLFLOW_PORT']}/ajax-api/3.0/mlflow/assistant/config"
    assert httpx.get(address, timeout=20).status_code == 404
    assert httpx.put(address, json={}, timeout=20).status_code == 404


def test_every_server_listens_on_loopback_only(running: Up) -> None:
    statuses = {
        c.laddr.ip
        for child in psutil.Process(running.pid).children(recursive=True)
        for c in child.connections(kind="tcp")
        if c.status == "LISTEN"
    }
    assert statuses == {"127.0.0.1", "::ffff:127.0.0.1"}  # gRPC says the same address in its longer form


def test_no_server_stands_where_a_dotenv_would_win_over_its_environment(running: Up) -> None:
    folders = [Path(child.cwd()) for child in psutil.Process(running.pid).children(recursive=True)]
    assert folders and ROOT not in folders


def test_a_killed_server_is_told_in_one_line_and_takes_the_others_with_it(running: Up) -> None:
    children = psutil.Process(running.pid).children(recursive=True)
    (daemon,) = [c for c in children if "resources.host.dagster_daemon" in c.cmdline() and "resources.host.tether" not in c.cmdline()]
    daemon.kill()
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 1
    told = [line for line in out.splitlines() if line.startswith("lakeloop:")]
    assert len(told) == 1 and "the Dagster daemon was killed by signal 9" in told[0]
    assert psutil.wait_procs(children, timeout=20)[1] == []


def test_ctrl_c_stops_every_process(tmp_path: Path) -> None:
    with start(tmp_path, "--no-materialize") as process:
        (told,) = [line for line in wait_for(process, "Ctrl-C stops everything") if line.startswith("materialises by itself")]
        assert "batch_flights_flight_delay_schedule, new_data, " in told and "notify" not in told
        assert f"stop them at http://127.0.0.1:{process.ports['LAKELOOP_UI_PORT']}/automation" in told
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) > 6
        process.send_signal(2)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in out
        assert psutil.wait_procs(children, timeout=20)[1] == []


def test_when_up_itself_is_killed_its_servers_go_too(tmp_path: Path) -> None:
    with start(tmp_path, "--no-materialize") as process:
        wait_for(process, "starting MLflow")
        time.sleep(6)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait(10)
        assert psutil.wait_procs(children, timeout=40)[1] == []


def test_a_busy_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with start(tmp_path, LAKELOOP_MLFLOW_PORT=str(port)) as process:
            out, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert out.splitlines() == [f"lakeloop: port {port}, wanted for MLflow, is in use; free it or set LAKELOOP_MLFLOW_PORT to another"]
