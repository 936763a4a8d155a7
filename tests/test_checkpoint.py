"""Checkpoints: every published form is read, damage is told, nothing but tensors is unpickled."""

import pickle

import pytest
import torch

from sssd.checkpoints import (
    compact,
    infer_config,
    load_into,
    read_state,
    state_hash,
    write_pickle,
    write_safetensors,
)
from sssd.config.schema import Config
from sssd.factory import build_network
from sssd.model_wrapper import SSSDECG
from tests.test_model import TINY, inputs, network
from tests.test_wrapper import LENGTH, NETWORK, tiny


def outputs(net):
    with torch.no_grad():
        return net(inputs())


@pytest.mark.parametrize("prefix", ["", "model.", "module.", "module.model.", "_orig_mod."])
@pytest.mark.parametrize("key", ["model_state_dict", "state_dict", None])
def test_published_forms(tmp_path, prefix, key):
    """Fails when a prefix is stripped once only, or a bare state dict is not taken."""
    net = network(s4_lmax=1000)
    state = {prefix + name: value for name, value in net.state_dict().items()}
    write_pickle(tmp_path / "net.pkl", state if key is None else {key: state, "optimizer_state_dict": {}})
    loaded = SSSDECG.from_pretrained(tmp_path / "net.pkl", device="cpu").model
    assert loaded.config == net.config
    torch.testing.assert_close(outputs(loaded), outputs(net))


def test_safetensors(tmp_path):
    net = network(s4_lmax=1000)
    write_safetensors(tmp_path / "net.safetensors", net.state_dict(), {"cauchy": "conjugate_pairs"})
    state, metadata = read_state(tmp_path / "net.safetensors")
    assert metadata == {"cauchy": "conjugate_pairs"}
    assert state_hash(state) == state_hash(net.state_dict())
    torch.testing.assert_close(
        outputs(SSSDECG.from_pretrained(tmp_path / "net.safetensors", device="cpu").model), outputs(net)
    )


@pytest.mark.parametrize(
    "changes", [{}, {"s4_bidirectional": False}, {"patch": 2, "s4_layernorm": False}], ids=str
)
def test_compact_round_trip(tmp_path, changes):
    """Shared constants once and exact, the rest to float16. Fails when a constant that differs is taken as shared."""
    net = network(s4_lmax=1000, **changes)
    net.blocks[1].S42.kernel.B.mul_(1.5)  # no longer the one of the others
    small = compact(net.state_dict())
    write_safetensors(tmp_path / "net.safetensors", small, {})
    state, _ = read_state(tmp_path / "net.safetensors")
    loaded = SSSDECG.from_pretrained(tmp_path / "net.safetensors", device="cpu").model
    assert infer_config(state) == net.config
    own = loaded.state_dict()
    for name, value in net.state_dict().items():
        constant = name.rsplit(".", 1)[-1] in ("w", "P", "Q", "B", "omega", "z", "log_dt")
        exact = value if constant else value.half().float()
        assert torch.equal(own[name], exact), name


@pytest.mark.parametrize(
    "changes", [{}, {"num_res_layers": 3, "s4_d_state": 6, "label_embed_classes": 0}], ids=str
)
def test_infer_config(changes):
    expected = network(**changes).config
    inferred = infer_config(network(**changes).state_dict())
    assert vars(inferred) | {"label_embed_dim": 8} == vars(expected)


def test_filling_an_empty_network():
    """Fails when a tensor keeps what its memory held, or two share theirs, so that changes of one reach the other."""
    diffusion = {"T": 20, "prediction": "v", "terminal_alpha": 0.01}
    config = Config.model_validate(
        {"wavenet_config": TINY, "diffusion_config": diffusion, "ddim_config": {"ddim_timesteps": 5}}
    )
    net = build_network(config)
    empty = build_network(config, empty=True)
    load_into(empty, net.state_dict())
    assert all(p.requires_grad for p in empty.parameters())
    torch.testing.assert_close(outputs(empty), outputs(net))
    load_into(empty := build_network(config, empty=True), compact(net.state_dict()))
    own = empty.state_dict()
    assert len({own[name].data_ptr() for name in own if name.endswith("omega")}) == 4


class Explosive:
    def __reduce__(self):
        return print, ("this pickle ran code",)


KINDS = ["cut", "empty", "text", "code", "other", "list", "cut.safetensors", "text.safetensors"]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(tmp_path, capsys, kind):
    """One line that names the file, whatever is wrong. Fails with weights_only=False: the pickle's code runs."""
    path = tmp_path / (kind if kind.endswith("safetensors") else f"{kind}.pkl")
    write = write_safetensors if kind.endswith("safetensors") else write_pickle
    if kind.startswith("cut"):
        state = network().state_dict()
        whole = write(path, state, {}) if kind.endswith("safetensors") else write(path, state)
        path.write_bytes(whole.read_bytes()[:-1000])
    elif kind == "code":
        path.write_bytes(pickle.dumps({"model_state_dict": Explosive()}))
    elif kind == "other":
        write_pickle(path, {"epoch": 3})
    elif kind == "list":
        torch.save([torch.zeros(1)], path)
    else:
        path.write_bytes(b"" if kind == "empty" else b"no checkpoint at all, only text")
    with pytest.raises(ValueError, match=kind) as error:
        SSSDECG.from_pretrained(path, device="cpu")
    assert "\n" not in str(error.value) and "ran code" not in capsys.readouterr().out


def test_files_that_do_not_fit(tmp_path):
    net = network()
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        SSSDECG.from_pretrained(tmp_path / "none.pkl", device="cpu")
    state = net.state_dict()
    with pytest.raises(
        ValueError, match=r"init_conv.0.conv.weight_g is \(8, 1, 1\).*\(16, 1, 1\) in the network"
    ):
        load_into(network(res_channels=16), state)
    with pytest.raises(ValueError, match="is missing in it"):
        load_into(network(num_res_layers=3), state)
    with pytest.raises(ValueError, match="that the network does not have"):
        load_into(network(num_res_layers=1), state)
    with pytest.raises(ValueError, match="does not belong to SSSD-ECG's network"):
        infer_config({"weight": torch.zeros(1)})
    far = {name.replace("blocks.1.", "blocks.1000000000."): value for name, value in state.items()}
    with pytest.raises(ValueError, match=r"residual_blocks\.1' is missing"):  # and no network of 10^9 blocks
        infer_config(far)
    for short in (compact(state), state):  # a constant that is shared, and one of a single kernel
        name = next(name for name in short if name.endswith(".B"))
        for shape in ((2, *short[name].shape[1:]), (3, 3), (0, *short[name].shape[1:]), ()):
            if torch.Size(shape) != short[name].shape:
                with pytest.raises(ValueError, match=rf"B is \({', '.join(map(str, shape))}.*in the network"):
                    load_into(net, {**short, name: torch.zeros(shape)})
    before = state_hash(net.state_dict())
    bad = {name: value.clone() for name, value in network(seed=2).state_dict().items()}
    bad["final_conv.2.conv.bias"][0] = float("nan")
    with pytest.raises(ValueError, match="damaged: final_conv.2.conv.bias"):
        load_into(net, bad)
    assert state_hash(net.state_dict()) == before  # all or nothing


# --- through SSSDECG ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".safetensors", ".pkl", ".pt"])
def test_save_and_load(tmp_path, suffix):
    """A saved model is the same model anywhere: weights, schedule, scale, convention."""
    diffusion = {"T": 20, "prediction": "v", "terminal_alpha": 0.01}
    model = tiny(
        diffusion_config=diffusion, trainset_config={"segment_length": LENGTH, "lead_scale_mv": [0.5] * 8}
    )
    model.model.cauchy = "half_spectrum"
    path = model.save_checkpoint(tmp_path / f"model{suffix}")
    again = SSSDECG.from_pretrained(path, device="cpu")
    assert again.config == model.config and again.model.cauchy == "half_spectrum"
    assert again.model_hash == model.model_hash
    assert torch.equal(again.generate("AFIB", seed=1), model.generate("AFIB", seed=1))
    same = SSSDECG(model.config, device="cpu").load_checkpoint(path)
    assert torch.equal(same.generate("AFIB", seed=1), model.generate("AFIB", seed=1))
    with pytest.raises(ValueError, match="trained with diffusion_config.terminal_alpha 0.01"):
        SSSDECG(tiny(diffusion_config={"T": 20, "prediction": "v"}).config, device="cpu").load_checkpoint(
            path
        )
    with pytest.raises(FileExistsError, match="exists"):
        model.save_checkpoint(path)
    model.save_checkpoint(path, overwrite=True)
    with pytest.raises(ValueError, match="no known suffix"):
        model.save_checkpoint(tmp_path / "model.bin")
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


def test_a_published_file_and_the_configuration(tmp_path):
    """Given, it must fit; not given, the size is inferred. Fails when a failed load leaves the model changed."""
    published = tiny(network={"num_res_layers": 1, "s4_lmax": 1000})
    write_pickle(tmp_path / "net.pkl", {"model_state_dict": published.model.state_dict()})
    model = tiny()
    before = model.model_hash
    with pytest.raises(ValueError, match="does not fit the configuration"):
        model.load_checkpoint(tmp_path / "net.pkl")
    assert model.model_hash == before
    inferred = SSSDECG.from_pretrained(tmp_path / "net.pkl", device="cpu")
    assert inferred.config.wavenet_config.num_res_layers == 1
    assert inferred.model_hash == published.model_hash


def test_loading_in_place_and_the_convention(tmp_path):
    """An optimizer made before still holds the weights. Fails when the convention is not changed with them."""
    write_pickle(tmp_path / "net.pkl", {"model_state_dict": tiny(seed=1).model.state_dict()})
    model = tiny()
    net, how = model.model, {"seed": 1, "ddim_timesteps": 2}
    assert model.load_checkpoint(tmp_path / "net.pkl") is model and model.model is net
    pairs = model.generate("AFIB", **how)
    half = model.load_checkpoint(tmp_path / "net.pkl", cauchy="half_spectrum").generate("AFIB", **how)
    assert (half - pairs).abs().max() > 0.01
    with pytest.raises(ValueError, match="cauchy is 'both'"):
        model.load_checkpoint(tmp_path / "net.pkl", cauchy="both")
    assert NETWORK["num_res_layers"] == len(net.blocks)


@pytest.mark.parametrize(
    "changed",
    [
        lambda value: value.to(torch.complex64),
        lambda value: value.to_sparse(),
        lambda value: value.to("meta"),
    ],
    ids=["complex", "sparse", "meta"],
)
def test_tensors_that_are_not_dense_and_real_are_refused(changed):
    """Broken by a raw error of PyTorch, and by an imaginary part that is dropped (both seen)."""
    net = network()
    before, state = state_hash(net.state_dict()), dict(net.state_dict())
    state["residual_layer.fc_t1.bias"] = changed(state["residual_layer.fc_t1.bias"])
    with pytest.raises(ValueError, match="fc_t1.bias is not a dense tensor of real numbers"):
        load_into(net, state)
    assert state_hash(net.state_dict()) == before


def test_weights_are_hashed_once_until_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records have the hash in their provenance, and hashing takes longer than a short run on a GPU.

    Broken by hashing at each call, or by a hash that is kept over a change (seen: both).
    """
    hashed: list[str] = []

    def counted(state: dict[str, torch.Tensor]) -> str:
        hashed.append(state_hash(state))
        return hashed[-1]

    monkeypatch.setattr("sssd.pretrained.state_hash", counted)
    model = tiny()
    how = {"seed": 1, "use_ddim": True, "ddim_timesteps": 2, "progress": False}
    found = [model.generate_ecgs("NORM", **how)[0].provenance["model"] for _ in range(3)]
    assert len(hashed) == 1 and set(found) == set(hashed)
    with torch.no_grad():
        next(model.model.parameters()).add_(1)
    model.generate_ecgs("NORM", **how)
    assert len(set(hashed)) == 2
