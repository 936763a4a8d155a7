"""The page as a folder of files that needs no service: everything runs in the browser. `build` writes it.

js/origin.js    answers in the place of the service; it replaces the page's own file of this name
js/local/       noise, statements and steps, in JavaScript; worker.js evaluates the networks, by WebGPU or WebAssembly
                through onnxruntime-web, and python.js runs this package's own modules through Pyodide
ort/            onnxruntime-web
python/         Pyodide, NumPy and matplotlib; this package and others as archives of Python
networks/       the model as ONNX and its weights, compressed; for each quality its step table and what else is needed
data.json       statements, the model, which statements occur together
"""
