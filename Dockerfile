# syntax=docker/dockerfile:1
# The service on a CPU:        docker build -t sssd-ecg .
# The same for NVIDIA GPUs:    docker build -t sssd-ecg:cuda --build-arg TORCH_BACKEND=cu128 .
#
#   docker run --rm sssd-ecg serve --new-key                    # prints a key and its hash, which goes into server.json
#   docker run -p 8000:8000 -v "$PWD/server.json:/etc/sssd-ecg/server.json:ro" sssd-ecg \
#       serve --host 0.0.0.0 --settings /etc/sssd-ecg/server.json
#   docker run -v "$PWD/out:/home/ecg/out" sssd-ecg generate --label AFIB --out out/ecgs

ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG TORCH_BACKEND=cpu
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /source
COPY constraints.txt ./
# hadolint ignore=DL3013
RUN pip install --no-cache-dir "$(grep -o '^uv==[0-9.]*' constraints.txt | head -1)" && uv venv /opt/sssd-ecg
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN uv pip install --no-cache --python /opt/sssd-ecg/bin/python --torch-backend "${TORCH_BACKEND}" \
        --constraint constraints.txt '.[server,clinical,io]'

FROM python:${PYTHON}-slim
ARG TORCH_BACKEND=cpu
# On a GPU, Triton compiles the kernels of the network with the C compiler that it finds.
# hadolint ignore=DL3008
RUN if [ "${TORCH_BACKEND}" != cpu ]; then \
        apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*; \
    fi && useradd --create-home --uid 1000 ecg
COPY --from=build /opt/sssd-ecg /opt/sssd-ecg
ENV PATH=/opt/sssd-ecg/bin:$PATH PYTHONUNBUFFERED=1
USER 1000
WORKDIR /home/ecg
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["sssd-ecg"]
# An address that other machines reach needs an API key, so this is refused until server.json holds one.
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
