# For people who want `docker build`; `coinbench images build` makes the same images without Docker, faster, and equal byte
# for byte each time. One target per service, and one for the bare program:
#
#   docker build --target rng --build-arg TAG=v0.1 -t coinbench/rng:v0.1 .
#   docker build --target worker-v0.01 -t coinbench/worker:v0.01 .
#   docker build -t coinbench/coinbench:v0.1 .

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -o /out/coinbench ./cmd/coinbench && mkdir /out/data

FROM scratch AS program
COPY --from=build /out/coinbench /coinbench
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENTRYPOINT ["/coinbench"]

FROM program AS service
ARG TAG=v0.1
ENV COIN_VERSION=$TAG
LABEL org.opencontainers.image.version=$TAG
EXPOSE 8081

FROM service AS rng
EXPOSE 80
ENTRYPOINT ["/coinbench", "service", "rng"]

FROM service AS hasher
EXPOSE 80
ENTRYPOINT ["/coinbench", "service", "hasher"]

FROM service AS webui
EXPOSE 80
ENTRYPOINT ["/coinbench", "service", "webui"]

FROM service AS gateway
EXPOSE 80
ENTRYPOINT ["/coinbench", "service", "gateway"]

FROM service AS worker
ENTRYPOINT ["/coinbench", "service", "worker"]

# The workshop's second release, whose think time is 10 ms.
FROM worker AS worker-v0.01
ENV COIN_VERSION=v0.01 COIN_THINK=10ms
LABEL org.opencontainers.image.version=v0.01

FROM program
