/** HTTP/2 frames and HPACK: any split of the bytes is the same, and every stream ends once. */
import { HeaderMap } from "#proxy/http/header-map.ts";
import { frame, get, settings } from "#proxy/http/testing/http2-peer.ts";
import { clientWorld, serverWorld } from "#proxy/http/testing/http2-world.ts";
import { RecordingDecoder } from "#proxy/http/testing/recording-decoder.ts";
import { Http2FieldNames } from "#proxy/http/http2/field-name.ts";
import { HpackDecoder } from "#proxy/http/http2/hpack/decoder.ts";
import type { FuzzTarget } from "../fuzz.ts";
import { same, split } from "./splits.ts";

const block = Buffer.from("828684410161", "hex");
const answer = Buffer.from("88", "hex");
const dictionary = [
  block.toString("latin1"),
  "\x00\x00\x00\x04\x00\x00\x00\x00\x00",
  "\x00\x00\x00\x04\x01\x00\x00\x00\x00",
  "\x00\x00\x04\x08\x00\x00\x00\x00\x01\x00\x00\x00\x08",
  "\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08",
  "\x00\x00\x08\x06\x00\x00\x00\x00\x00abcdefgh",
  "\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00",
  "\x00\x00\x03\x00\x01\x00\x00\x00\x01abc",
  "\x00\x00\x06\x09\x04\x00\x00\x00\x01",
  "\x7f\xff\xff\xff",
  "\x00\x03",
  "\x40\x01a\x01b",
  "\x3f\xe1\x1f",
];

export const http2Server: FuzzTarget = {
  name: "http2-server",
  dictionary,
  maxBytes: 1024,
  seeds: [
    Buffer.concat([frame(1, 4, 1, block), frame(0, 1, 1, Buffer.from("abc"))]),
    Buffer.concat([frame(1, 0, 1, block.subarray(0, 3)), frame(9, 4, 1, block.subarray(3))]),
    Buffer.concat([
      settings(),
      frame(1, 5, 1, block),
      frame(3, 0, 1, Buffer.from([0, 0, 0, 8])),
      frame(6, 0, 0, Buffer.alloc(8)),
    ]),
  ],
  async run(bytes) {
    const hear = async (pieces: readonly Buffer[]): Promise<unknown> => {
      const world = await serverWorld();
      for (const piece of pieces) await world.peer.send(Buffer.from(piece));
      world.peer.connection.reset();
      await world.runtime.settle();
      if (world.codec.activeStreams !== 0) throw new Error(`${world.codec.activeStreams} streams are left`);
      if (world.gauge("streams_active") !== 0) throw new Error("streams_active is not 0");
      return [world.streams.map(({ decoder }) => decoder.events), world.errors];
    };
    same(await hear([bytes]), await hear(split(bytes)), "http2-server");
  },
};

export const http2Client: FuzzTarget = {
  name: "http2-client",
  dictionary: [...dictionary, answer.toString("latin1")],
  maxBytes: 1024,
  seeds: [
    Buffer.concat([settings(), frame(1, 4, 1, answer), frame(0, 1, 1, Buffer.from("abc"))]),
    Buffer.concat([frame(1, 5, 1, answer), frame(7, 0, 0, Buffer.alloc(8))]),
  ],
  async run(bytes) {
    const hear = async (pieces: readonly Buffer[]): Promise<unknown> => {
      const world = await clientWorld();
      const decoder = new RecordingDecoder();
      world.codec.newStream(decoder).sendHeaders(HeaderMap.of(get), true);
      for (const piece of pieces) await world.peer.send(Buffer.from(piece));
      world.peer.connection.reset();
      await world.runtime.settle();
      if (world.ended !== 1) throw new Error(`the stream ended ${world.ended} times`);
      return [decoder.events, world.errors];
    };
    same(await hear([bytes]), await hear(split(bytes)), "http2-client");
  },
};

/** The first byte says where the first block ends. */
export const hpack: FuzzTarget = {
  name: "hpack",
  dictionary: [
    "\x40\x01a\x01b",
    "\x3f\xe1\x1f",
    "\x20",
    "\xbe",
    "\x82",
    "\x00\x81\x1f\x81\x1f",
    "\xff\xff\xff\xff\x7f",
    "\x10",
  ],
  seeds: [Buffer.concat([Buffer.of(6), block, block]), Buffer.from("\x05\x40\x01a\x01b\xbe", "latin1")],
  run(bytes) {
    const decode = (): unknown => {
      const decoder = new HpackDecoder(4096, new Http2FieldNames());
      const cut = Math.min(bytes.length, 1 + (bytes[0] ?? 0));
      const fields: unknown[] = [];
      const sink = {
        onField: (name: unknown, value: string, ...rest: unknown[]): void => void fields.push([name, value, ...rest]),
      };
      const copy = Buffer.from(bytes);
      if (decoder.decode(copy, 1, Math.max(1, cut), sink))
        fields.push(decoder.decode(copy, Math.max(1, cut), copy.length, sink));
      return fields;
    };
    if (bytes.length > 0) same(decode(), decode(), "hpack");
  },
};
