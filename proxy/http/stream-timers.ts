/** The clocks of one stream (R-50, R-54 … R-56): nothing moves, the request does not end, the whole takes too long. */
import type { Clock, Timer } from "#lib/runtime.ts";
import { grpcTimeoutText, parseGrpcTimeout } from "../router/timeouts.ts";
import type { ForwardRoute } from "../router/types.ts";
import type { ConnectionManagerTimeouts } from "./connection-manager-config.ts";
import type { HeaderMap } from "./header-map.ts";

export type StreamTimeout = "idle" | "request" | "duration";

export interface StreamTimerOwner {
  onTimeout(which: StreamTimeout): void;
}

export class StreamTimers {
  #idleMs = 0;
  #lastActivity = 0;
  #idle: Timer | undefined = undefined;
  #request: Timer | undefined = undefined;
  #duration: Timer | undefined = undefined;
  readonly #clock: Clock;
  readonly #owner: StreamTimerOwner;

  constructor(clock: Clock, owner: StreamTimerOwner) {
    this.#clock = clock;
    this.#owner = owner;
  }

  /** Once the route is known. `startedAt` is on the monotonic clock. */
  arm(
    timeouts: ConnectionManagerTimeouts,
    route: ForwardRoute | undefined,
    headers: HeaderMap,
    isRequestComplete: boolean,
    startedAt: number,
  ): void {
    const { wheel } = this.#clock;
    this.#idleMs = route?.idleTimeoutMs ?? timeouts.streamIdleMs;
    if (this.#idleMs > 0) {
      this.#lastActivity = startedAt;
      this.#idle = wheel.schedule(this.#idleMs, () => this.#onIdleTick());
    }
    if (timeouts.requestMs > 0 && !isRequestComplete)
      this.#request = wheel.schedule(timeouts.requestMs, () => this.#owner.onTimeout("request"));
    const durationMs = maxDurationMs(timeouts, route, headers);
    if (durationMs !== undefined) this.#duration = wheel.schedule(durationMs, () => this.#owner.onTimeout("duration"));
  }

  /** Something has moved, in either direction. */
  touch(): void {
    if (this.#idleMs > 0) this.#lastActivity = this.#clock.monotonic();
  }

  onRequestComplete(): void {
    this.#request?.cancel();
  }

  cancel(): void {
    this.#idle?.cancel();
    this.#request?.cancel();
    this.#duration?.cancel();
  }

  /** Not set anew at each byte: it looks when it fires how long nothing has moved. */
  #onIdleTick(): void {
    const leftMs = this.#lastActivity + this.#idleMs - this.#clock.monotonic();
    if (leftMs > 0) this.#idle = this.#clock.wheel.schedule(leftMs, () => this.#onIdleTick());
    else this.#owner.onTimeout("idle");
  }
}

/**
 * The route's, by `grpc-timeout` where the route says so: the header is then put to what is left of it; else the
 * connection manager's. Undefined: none.
 */
function maxDurationMs(
  timeouts: ConnectionManagerTimeouts,
  route: ForwardRoute | undefined,
  headers: HeaderMap,
): number | undefined {
  const own = route?.maxStreamDuration;
  const general = timeouts.maxStreamDurationMs;
  if (own === undefined) return general === 0 ? undefined : general;
  const max = own.grpcTimeoutHeaderMaxMs;
  const asked = max === undefined ? undefined : parseGrpcTimeout(headers);
  if (max === undefined || asked === undefined) return (own.maxStreamDurationMs ?? general) || undefined;
  const capped = max !== 0 && asked > max ? max : asked;
  const left = Math.max(capped - (own.grpcTimeoutHeaderOffsetMs ?? 0), 0);
  headers.set("grpc-timeout", grpcTimeoutText(left));
  return left;
}
