"""The page as a folder of files that needs no service: the networks run in the browser, through onnxruntime-web.

js/origin.js    answers in the place of the service; it replaces the page's own file of this name
js/local/       noise, statements and steps, in JavaScript; worker.js evaluates the networks, by WebGPU or WebAssembly
ort/            onnxruntime-web, from npm
networks/       the weights as ONNX, compressed; for each quality its step table, and what else the file says
data.json       statements, the model, which statements occur together
"""

from .build import write_static_page

__all__ = ["write_static_page"]
