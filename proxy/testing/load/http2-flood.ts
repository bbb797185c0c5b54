/** Floods of HTTP/2 frames that cost their sender next to nothing; each goes on until the peer closes the connection. */
import type { Runtime } from "#lib/runtime.ts";
import { FrameType } from "#proxy/http/http2/frames.ts";
import { prefaceText } from "#proxy/http/http2/preface.ts";
import { frame, settings, uint32 } from "#proxy/http/testing/http2-peer.ts";

export type Flood =
  | "rapid reset"
  | "pings"
  | "settings"
  | "continuations"
  | "empty data"
  | "window updates"
  | "priorities";

export const floods: readonly Flood[] = [
  "rapid reset",
  "pings",
  "settings",
  "continuations",
  "empty data",
  "window updates",
  "priorities",
];

/** GET http://load/ out of HPACK's static table. */
const head = Buffer.from([0x82, 0x86, 0x84, 0x41, 4, ...Buffer.from("load")]);
/** The same, as POST. */
const postHead = Buffer.from([0x83, 0x86, 0x84, 0x41, 4, ...Buffer.from("load")]);
/** One field of 1 KB that is never indexed. */
const bigField = Buffer.concat([Buffer.from([0x10, 1, 0x78, 0x7f, 0xe9, 0x07]), Buffer.alloc(1128, "a")]);
const END_STREAM = 1;
const END_HEADERS = 4;

interface Recipe {
  /** Sent once. */
  readonly first: readonly Buffer[];
  /** The nth frame (or frames) of the flood; n from 0. */
  readonly next: (n: number) => Buffer;
  /** The peer's answers are not read. */
  readonly isDeaf?: boolean;
}

const ping = frame(FrameType.ping, 0, 0, Buffer.alloc(8));
const emptySettings = settings();
const continuation = frame(FrameType.continuation, 0, 1, bigField);
const emptyData = frame(FrameType.data, 0, 1);
const windowUpdate = frame(FrameType.windowUpdate, 0, 0, uint32(1));
const openPost = frame(FrameType.headers, END_HEADERS, 1, postHead);

const recipes: Readonly<Record<Flood, Recipe>> = {
  "rapid reset": {
    first: [],
    next: (n) =>
      Buffer.concat([
        frame(FrameType.headers, END_HEADERS | END_STREAM, 2 * n + 1, head),
        frame(FrameType.rstStream, 0, 2 * n + 1, uint32(8)),
      ]),
  },
  pings: { first: [], next: () => ping, isDeaf: true },
  settings: { first: [], next: () => emptySettings, isDeaf: true },
  continuations: { first: [frame(FrameType.headers, 0, 1, postHead)], next: () => continuation },
  "empty data": { first: [openPost], next: () => emptyData },
  "window updates": { first: [openPost], next: () => windowUpdate },
  priorities: {
    first: [],
    next: (n) => frame(FrameType.priority, 0, 2 * (n % 1000) + 1, Buffer.concat([uint32(0), Buffer.from([16])])),
  },
};

export interface FloodResult {
  /** Frames (of a rapid reset: streams) that the peer's system has taken before the connection was gone. */
  readonly sent: number;
  readonly isClosed: boolean;
}

/** In pieces of 64 frames, at most `atMost`. */
export function flood(runtime: Runtime, port: number, kind: Flood, atMost: number): Promise<FloodResult> {
  const { first, next, isDeaf = false } = recipes[kind];
  return new Promise((resolve) => {
    let sent = 0;
    const step = (): void => {
      while (!connection.isClosed) {
        if (sent >= atMost) {
          connection.destroy();
          resolve({ sent, isClosed: false });
          return;
        }
        const frames = Buffer.concat(Array.from({ length: 64 }, (_, i) => next(sent + i)));
        sent += 64;
        if (!connection.write(frames)) return;
        if (sent % 1024 === 0) {
          runtime.clock.setTimer(0, step);
          return;
        }
      }
    };
    const connection = runtime.network.connect(
      { address: { kind: "ip", address: "127.0.0.1", port } },
      {
        onConnect() {
          connection.write(Buffer.concat([Buffer.from(prefaceText, "latin1"), emptySettings, ...first]));
          if (isDeaf) connection.pause();
          step();
        },
        onData() {},
        onDrain: step,
        onEnd: () => connection.destroy(),
        onClose: () => resolve({ sent, isClosed: true }),
      },
    );
  });
}
