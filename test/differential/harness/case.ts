/** One case: a piece of configuration, requests, and how the upstreams answer. `{id}` stands for the case's own name everywhere. */
import type { Side } from "./side.ts";

export type Json = Readonly<Record<string, unknown>>;

/** A backend of the recorder: `a`, `b`, `c` speak HTTP/1.1 on raw sockets, `h` speaks HTTP/2; nobody listens at `none`. */
export type BackendName = "a" | "b" | "c" | "h" | "none";

/** What is done on a raw connection, in order; text is written as it is (one byte a character). `end` half-closes, `hang` leaves it
 * open and silent. */
export type Step =
  | string
  | { readonly act: "end" | "close" | "reset" | "hang" }
  /** Waits until this text has come from the other end. */
  | { readonly until: string }
  /** Lets time pass, where time itself is what is asked about. */
  | { readonly waitMs: number };

/** How an HTTP/1.1 backend answers one request: text, or steps. `at: "head"` does not wait for the body. */
export type Answer = string | { readonly steps: readonly Step[]; readonly at?: "head" | "end" };

export interface Http2Answer {
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: string;
  readonly trailers?: Readonly<Record<string, string>>;
  /** RST_STREAM with this code; after headers and body when they are given. */
  readonly reset?: number;
  readonly hang?: boolean;
}

/** Raw bytes on a connection of their own; done when `responses` final responses have come (default 1), or it is closed. */
export interface RawExchange {
  readonly kind: "raw";
  readonly steps: readonly Step[];
  readonly responses?: number;
  /** The outcome is only known when the proxy closes the connection. */
  readonly untilClosed?: boolean;
}

/** A request over HTTP/2 with prior knowledge, each on a connection of its own. */
export interface Http2Exchange {
  readonly kind: "http2";
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string;
  readonly trailers?: Readonly<Record<string, string>>;
}

/** Anything else: gives what is compared. */
export interface OwnExchange {
  readonly kind: "own";
  readonly run: (side: Side, id: string) => Promise<string>;
}

export type Exchange = RawExchange | Http2Exchange | OwnExchange;

export interface Case {
  /** `R-10: …` */
  readonly name: string;
  /** Routes of the case's virtual host `{id}` (domains `{id}.test`, `{id}.test:*`); left out: everything to the cluster `{id}`. */
  readonly routes?: readonly Json[];
  /** More fields of that virtual host. */
  readonly virtualHost?: Json;
  /** In its place. */
  readonly virtualHosts?: readonly Json[];
  /** Fields of the RouteConfiguration; gives the case a listener of its own. */
  readonly routeConfig?: Json;
  /** Fields of the HttpConnectionManager; gives the case a listener of its own. */
  readonly manager?: Json;
  /** Fields of the listener or of its one filter chain (`transport_socket`); gives the case a listener of its own. */
  readonly listener?: Json;
  readonly filterChain?: Json;
  /** By name after `{id}`; `""` is the cluster `{id}`, which leads to `a` unless it is given. */
  readonly clusters?: Readonly<Record<string, Json>>;
  /** One for every attempt, the last one again and again; or so by backend. Left out: 200, `ok`, `x-backend: <name>`. */
  readonly answers?: Answer | readonly Answer[] | Partial<Record<BackendName, Answer | readonly Answer[]>>;
  readonly http2Answers?: readonly Http2Answer[];
  readonly exchanges: readonly Exchange[];
  /** Access-log lines to wait for; left out: one an exchange. */
  readonly logs?: number;
  /** Requests that upstreams must have seen before the case is over (mirrors come late); left out: those that have. */
  readonly sees?: number;
  /** What differs from run to run in this case, beside what `blur.ts` says of all. */
  readonly blur?: readonly (readonly [pattern: RegExp, replacement: string])[];
  /** Statistics of `cluster.{id}`, `http.{id}`, `vhost.{id}` that are not compared here, and why. */
  readonly statsExcept?: Readonly<Record<string, string>>;
  /** Ours differs on purpose: why, and what all of its responses, joined, are like. */
  readonly differs?: { readonly why: string; readonly ours: RegExp };
}

/** Cases beside a pair of processes, and what they share. */
export interface Table {
  readonly cases: readonly Case[];
  /** Appended to the bootstrap's own; text `port:a` stands for a port of the recorder, `{log}` for the access log's path. */
  readonly listeners?: readonly Json[];
  readonly clusters?: readonly Json[];
  /** Merged over the bootstrap at its top level. */
  readonly bootstrap?: Json;
  /** How many cases run at a time (8). */
  readonly concurrency?: number;
  readonly envoyArgs?: readonly string[];
}
