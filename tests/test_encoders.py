"""The encoders of the installed package."""
import pytest
import torch

from crimenb.core import InputError
from crimenb.encoders import ENCODERS, GRU, TCN, NextEvent, Transformer, TransformerLayer, chosen_vectors


def tokens(*rows):
    width = max(map(len, rows))
    return torch.tensor([[*row, *[0]*(width - len(row))] for row in rows])


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_and_neighbours_in_the_batch_change_nothing(name):
    torch.manual_seed(0)
    net = NextEvent(20, name, d=8, length=12).eval()
    batch = tokens([1, 2, 3, 21], [4, 5, 21], [6]*11 + [21])
    at = torch.tensor([3, 12 + 2, 24 + 11])
    together = net(batch, at)
    alone = torch.cat([net(batch[i:i+1, :n], torch.tensor([n-1])) for i, n in enumerate((4, 3, 12))])
    assert together.shape == (3, 20) and torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    net = NextEvent(20, name, d=8, length=40)
    net(torch.randint(1, 21, (4, 40)), torch.arange(0, 160, 3)).square().mean().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or p.grad.abs().sum() == 0] == []
    assert net.embedding.weight.grad[0].abs().sum() == 0            # padding stays zero


def test_the_layer_is_the_formula_of_its_docstring():
    torch.manual_seed(0)
    layer = TransformerLayer(8, 2, 16, 0.).double()
    x = torch.randn(1, 5, 8, dtype=torch.float64)
    real = torch.tensor([True, True, True, True, False])
    q, k, v = layer.qkv(x[0]).split(8, -1)
    heads = []
    for h in range(2):
        s = slice(4*h, 4*h + 4)
        w = (q[:, s] @ k[:, s].T / 2).masked_fill(~real, -torch.inf).softmax(-1)
        heads.append(w @ v[:, s])
    a = layer.norm1(x[0] + layer.out(torch.cat(heads, -1)))
    y = layer.norm2(a + layer.down(torch.nn.functional.gelu(layer.up(a))))
    assert torch.allclose(layer(x, real[None, None, None])[0], y)


def test_the_tcn_sees_the_whole_window():
    torch.manual_seed(0)
    net = TCN(d=4, length=200).double().eval()
    x = torch.randn(1, 200, 4, dtype=torch.float64, requires_grad=True)
    net(x, None)[0, -1, 0].backward()
    seen = x.grad[0].abs().sum(1) > 0
    assert seen.all()


def test_the_papers_transformer_has_its_size():
    net = Transformer()
    layer = 4*(64*64 + 64) + 64*256 + 256 + 256*64 + 64 + 4*64
    assert sum(p.numel() for p in net.parameters()) == 200*64 + 2*64 + 2*layer


def test_a_shared_embedding_is_one_tensor():
    a = NextEvent(10, d=8)
    b = NextEvent(10, d=8, embedding=a.embedding)
    assert a.embedding.weight is b.embedding.weight and a.dense.weight is not b.dense.weight


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="unknown encoder 'LSTM'"): NextEvent(10, "LSTM")
    with pytest.raises(InputError, match="multiple of 3"): Transformer(d=64, heads=3)


def test_gru_takes_one_layer_without_a_warning(recwarn):
    GRU(8, layers=1)
    assert not recwarn.list


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_last_layer_only_where_it_is_asked_gives_the_same_values_and_gradients(layers):
    torch.manual_seed(0)
    net = Transformer(d=8, length=9, layers=layers, dropout=0.).double()
    x = torch.randn(4, 9, 8, dtype=torch.float64, requires_grad=True)
    real = torch.arange(9) < torch.tensor([[9], [1], [5], [7]])
    at = torch.tensor([33, 2, 0, 8, 20, 9, 4])            # unordered; one, three and no positions in a row
    weights = torch.randn(7, 8, dtype=torch.float64)
    values, grads = [], []
    for asked in (net(x, real, at), net(x, real).flatten(0, 1)[at]):
        grads.append(torch.autograd.grad((asked*weights).sum(), [x, *net.parameters()]))
        values.append(asked)
    assert torch.allclose(*values) and all(torch.allclose(a, b) for a, b in zip(*grads))


def test_an_encoder_with_layers_of_its_own_computes_all_positions():
    class Echo(Transformer):
        def forward(self, x, real): return x
    x, at = torch.randn(2, 3, 8), torch.tensor([4, 1])
    assert torch.equal(chosen_vectors(Echo(8, 3), x, None, at), x.flatten(0, 1)[at])
