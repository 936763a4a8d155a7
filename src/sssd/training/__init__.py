"""Training makes a network from prepared recordings.

data.py       recordings -> the arrays a network is trained on
batches.py    one batch, as a function of the seed and the iteration; augment.py moves and scales its records
network.py    the network as training calls it
step.py       one step: loss, gradients, clipping, Adam (optimizer.py); graph.py records it as a CUDA graph
ema.py        the moving average of the weights, which is validated and shipped
loop.py       the run: steps, validation.py, log.py, checkpoint.py

The loss is in sssd.loss.
"""
