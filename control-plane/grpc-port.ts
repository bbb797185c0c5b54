/** Shell: a gRPC port that serves aggregated discovery and the CA. */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Clock } from "#lib/runtime.ts";
import type { CaService } from "./ca/ca-service.ts";
import { listenFault } from "./debug/debug-server.ts";
import type { AdsServer } from "./xds/ads-server.ts";

export interface GrpcPortOptions {
  readonly clock: Clock;
  readonly address: string;
  readonly port: number;
  /** The flag that chose the port, for messages. */
  readonly flag: string;
  /** Without it the port is plaintext, and streams need no proof of identity. */
  readonly tls?: ServerCredentials | undefined;
  readonly ads: AdsServer;
  readonly ca: CaService;
}

export interface GrpcPort {
  readonly port: number;
  close(): Promise<void>;
}

/** Time that calls have to end when the port closes. */
const CLOSE_MS = 500;

export async function openGrpcPort(options: GrpcPortOptions): Promise<GrpcPort> {
  const { clock, address, port, flag, tls, ads, ca } = options;
  const server = new Server({
    // Streams live as long as their proxies: dead peers are found by pings.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.max_receive_message_length": 16 * 1024 * 1024,
    "grpc.max_send_message_length": -1,
  });
  server.addService({ ...ads.definition }, { ...ads.implementation(tls !== undefined) });
  server.addService({ ...ca.definition }, { ...ca.implementation });
  const bound = await new Promise<number>((resolve, reject) => {
    const host = address.includes(":") ? `[${address}]` : address;
    server.bindAsync(`${host}:${port}`, tls ?? ServerCredentials.createInsecure(), (error, actual) => {
      if (error === null) resolve(actual);
      else reject(listenFault(/E[A-Z]{4,}/.exec(error.message)?.[0] ?? "unknown", address, port, flag));
    });
  });
  return {
    port: bound,
    close: () =>
      new Promise((resolve) => {
        const timer = clock.setTimer(CLOSE_MS, () => server.forceShutdown());
        server.tryShutdown(() => {
          timer.cancel();
          resolve();
        });
      }),
  };
}
