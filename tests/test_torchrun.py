"""Training on several machines: torchrun starts the processes, as `docs/gpus.md` and `docs/slurm.md` say."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lightning_fabric")
ROOT = Path(__file__).parents[1]
CODE = """
import sys
from pathlib import Path
from tests.test_training import records, tiny, train
c = tiny()
c = c.model_copy(update={"wavenet_config": c.wavenet_config.model_copy(update={"s4_dropout": 0.0})})
train(c, records(), Path(sys.argv[1]), accelerator="cpu")
"""


TRANSFORMER = """
import sys
from pathlib import Path
from tests.test_transformer import data, tiny, train
train(tiny(n_iters=6, iters_per_ckpt=6), data(), Path(sys.argv[1]), accelerator="cpu")
"""


@pytest.mark.slow
@pytest.mark.parametrize("code", [CODE, TRANSFORMER], ids=["s4", "transformer"])
def test_two_machines_give_the_losses_of_one_process(tmp_path, code):
    """Fails if each machine trains on its own, or balances noise levels by its own part of a batch.

    There are two torchruns of one process each, as two machines would have.
    """
    from tests.test_training import log_of

    script = tmp_path / "run.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script, tmp_path / "one"], check=True, env=environment, timeout=300)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
           "--master-addr", "127.0.0.1", "--master-port", str(port)]  # fmt: skip
    nodes = [
        subprocess.Popen([*run, "--node-rank", str(rank), script, tmp_path / "two"], env=environment)
        for rank in range(2)
    ]
    assert [node.wait(timeout=300) for node in nodes] == [0, 0]
    one, two = ([float(loss) for _, loss, _ in log_of(tmp_path / name)] for name in ("one", "two"))
    assert two == pytest.approx(one, rel=1e-5)
