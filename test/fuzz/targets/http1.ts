/** HTTP/1.1, both sides: any split of the bytes is the same message. */
import { createHttp1ClientCodec, defaultHttp1ClientOptions } from "#proxy/http/http1/client-codec.ts";
import { FieldNames } from "#proxy/http/http1/field-names.ts";
import { HeaderMap } from "#proxy/http/header-map.ts";
import { RecordingConnection } from "#proxy/http/testing/recording-connection.ts";
import { RecordingDecoder } from "#proxy/http/testing/recording-decoder.ts";
import { recordingServer } from "#proxy/http/testing/recording-server.ts";
import type { FuzzTarget } from "../fuzz.ts";
import { same, split } from "./splits.ts";

const dictionary = [
  "\r\n",
  "\r",
  "\n",
  "\r\n\r\n",
  "Host: a\r\n",
  "Content-Length: 3\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: gzip, chunked\r\n",
  "Connection: close\r\n",
  "Connection: upgrade\r\nUpgrade: websocket\r\n",
  "Expect: 100-continue\r\n",
  "3\r\nabc\r\n",
  "0\r\n\r\n",
  "0\r\nx: y\r\n\r\n",
  ";x=y",
  "ffffffffffffffff\r\n",
  "HTTP/1.1",
  "HTTP/1.0",
  "GET / HTTP/1.1\r\n",
  "CONNECT a:1 HTTP/1.1\r\n",
  "http://b/",
  "OPTIONS * HTTP/1.1\r\n",
];
/** A head with several faults may be refused for any of them. */
const withoutDetails = (event: string): string => (event.startsWith("error") ? event.replace(/ \S+$/, "") : event);
const bytesOf = (text: string): Buffer => Buffer.from(text, "latin1");

export const http1Server: FuzzTarget = {
  name: "http1-server",
  dictionary,
  seeds: [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nt: u\r\n\r\n",
    "GET http://a/ HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
  ].map(bytesOf),
  run(bytes) {
    const hear = (pieces: readonly Buffer[]): unknown => {
      const { codec, events, connection } = recordingServer({ acceptHttp10: true, enableTrailers: true }, true);
      for (const piece of pieces) codec.onData(Buffer.from(piece));
      codec.onClose();
      return [events.map(withoutDetails), connection.written];
    };
    same(hear([bytes]), hear(split(bytes)), "http1-server");
  },
};

export const http1Client: FuzzTarget = {
  name: "http1-client",
  dictionary: [
    ...dictionary,
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 x\r\n",
    "204",
    "304",
  ],
  seeds: [
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nt: u\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\nuntil the end",
  ].map(bytesOf),
  run(bytes) {
    const hear = (pieces: readonly Buffer[]): unknown => {
      let ends = 0;
      const errors: string[] = [];
      const codec = createHttp1ClientCodec(
        new RecordingConnection(),
        { onStreamEnd: () => ends++, onGoAway() {}, onProtocolError: ({ details }) => void errors.push(details) },
        { ...defaultHttp1ClientOptions(new FieldNames()), enableTrailers: true },
      );
      const decoder = new RecordingDecoder();
      const encoder = codec.newStream(decoder);
      encoder.sendHeaders(HeaderMap.of({ ":method": "GET", ":path": "/", ":authority": "a" }), true);
      for (const piece of pieces) codec.onData(Buffer.from(piece));
      codec.onClose();
      if (ends !== 1) throw new Error(`the stream ended ${ends} times`);
      return [
        decoder.events.map((event) => event.replace(/^(reset .+?) http1\..*$/, "$1")),
        errors.length,
        codec.isDraining,
      ];
    };
    same(hear([bytes]), hear(split(bytes)), "http1-client");
  },
};
