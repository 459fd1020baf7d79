# One image for every service; docker-compose.yml says which command each of them runs.
#
#   docker build -t tidings:local .

FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt ./
# Holds for the build of the wheel as well: the same versions as in CI.
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Without pip: what is not in the final image cannot be used in it. First what a change of our own code leaves as it is.
RUN python -m venv --without-pip /opt/tidings \
    && python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = project['optional-dependencies']; \
print(*project['dependencies'], *extras['worker'], *extras['gateway'], sep='\n')" >requirements.txt \
    && pip --python /opt/tidings/bin/python install --requirement requirements.txt
COPY README.md LICENSE ./
COPY tidings tidings
COPY bus bus
COPY workers workers
RUN pip wheel --no-deps --wheel-dir /dist . \
    && pip --python /opt/tidings/bin/python install "$(echo /dist/tidings-*.whl)[worker,gateway]"

FROM python:3.12-slim
# The image of Python has a pip of its own, and wheels to install it again; with another Python they are somewhere else.
RUN rm -rf /usr/local/lib/python3.12/ensurepip /usr/local/lib/python3.12/site-packages/pip* /usr/local/bin/pip* \
    && python -c "from importlib.util import find_spec; raise SystemExit(any(map(find_spec, ('pip', 'ensurepip'))))"
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tidings
COPY --from=build /opt/tidings /opt/tidings
# litellm fetches a price list from the net when it is imported, unless told not to.
ENV PATH=/opt/tidings/bin:$PATH PYTHONUNBUFFERED=1 LITELLM_LOCAL_MODEL_COST_MAP=True HOME=/tmp
# Agents of one's own are found here (docs/operations.md).
WORKDIR /app
USER 10001:10001
# The first one lets workers and controllers finish what they are doing.
STOPSIGNAL SIGTERM
ENTRYPOINT ["tidings"]
CMD ["--help"]
