# The library with all that a rerun of every study needs, on the processor alone.
#   docker build -t crimenb . && docker run --rm -v "$PWD/runs:/runs" crimenb reproduce crimealarm --out /runs
FROM python:3.11-slim
WORKDIR /crimenb
COPY constraints.txt ./
# without CUDA: a tenth of the size
RUN pip install --no-cache-dir --constraint constraints.txt --index-url https://download.pytorch.org/whl/cpu torch
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt ".[reproduce]" && useradd --create-home reader
USER reader
ENV OMP_NUM_THREADS=2
ENTRYPOINT ["crimenb"]
CMD ["--help"]
