/** gRPC health checks: `grpc.health.v1.Health/Check` (L-59). The two messages have one field each; they are written by hand. */
import type { StreamEncoder } from "../../http/codec.ts";
import { HeaderMap } from "../../http/header-map.ts";
import { healthCheckInfo, type CheckEnvironment } from "./check-session.ts";
import type { CheckOutcome, GrpcCheckConfig } from "./health-check-config.ts";
import type { StreamProbe } from "./stream-check.ts";

const SERVING = 1;
const MAX_MESSAGE_BYTES = 64 * 1024;

export class GrpcProbe implements StreamProbe {
  readonly protocol = "http2";
  readonly #config: GrpcCheckConfig;
  readonly #environment: CheckEnvironment;
  #status = 0;
  #isGrpc = false;
  #grpcStatus: string | undefined = undefined;
  #body: Buffer = Buffer.alloc(0);

  constructor(config: GrpcCheckConfig, environment: CheckEnvironment) {
    this.#config = config;
    this.#environment = environment;
  }

  reset(): void {
    this.#status = 0;
    this.#isGrpc = false;
    this.#grpcStatus = undefined;
    this.#body = Buffer.alloc(0);
  }

  send(encoder: StreamEncoder): void {
    const { authority, metadata, serviceName } = this.#config;
    const { hostname, clusterName, isSecure } = this.#environment;
    const headers = HeaderMap.of([
      [":method", "POST"],
      [":authority", hostname || authority || clusterName],
      [":path", "/grpc.health.v1.Health/Check"],
      [":scheme", isSecure ? "https" : "http"],
      ["te", "trailers"],
      ["content-type", "application/grpc"],
      ["user-agent", "Envoy/HC"],
    ]);
    metadata?.apply(headers, { info: healthCheckInfo(this.#environment.host), requestHeaders: headers });
    encoder.sendHeaders(headers, false);
    encoder.sendData(healthCheckRequest(serviceName), true);
  }

  onHeaders(headers: HeaderMap): void {
    this.#status = headers.status;
    this.#isGrpc = headers.get("content-type")?.startsWith("application/grpc") === true;
    this.#grpcStatus = headers.get("grpc-status");
  }

  onData(chunk: Buffer): void {
    if (this.#body.length < MAX_MESSAGE_BYTES) this.#body = Buffer.concat([this.#body, chunk]);
  }

  onTrailers(trailers: HeaderMap): void {
    this.#grpcStatus = trailers.get("grpc-status");
  }

  judge(): CheckOutcome {
    const isServing =
      this.#status === 200 && this.#isGrpc && this.#grpcStatus === "0" && servingStatus(this.#body) === SERVING;
    if (isServing) return { kind: "success", isDegraded: false };
    return { kind: "failure", type: "active", isRetriable: false, status: this.#status };
  }
}

/** `HealthCheckRequest{service = 1}` in a gRPC frame. */
function healthCheckRequest(service: string): Buffer {
  const name = Buffer.from(service, "utf8");
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...varint(name.length)]), name]);
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}

/** `HealthCheckResponse.status` of the one message in the body; undefined when it is not one. */
function servingStatus(body: Buffer): number | undefined {
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) return undefined;
  const message = body.subarray(5);
  // Field 1, a varint; proto3 leaves UNKNOWN (0) out. Whatever else stands there is not a status we can trust.
  if (message.length === 0) return 0;
  return message.length === 2 && message[0] === 0x08 ? message[1] : undefined;
}
