import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chunked, get, post, recordingServer } from "../testing/recording-server.ts";

describe("HTTP/1.1 server codec: properties", () => {
  const requests = fc
    .array(
      fc.record({
        path: fc.stringMatching(/^\/[a-z]{0,5}$/),
        body: fc.option(fc.array(fc.stringMatching(/^[ -~\r\n]{1,12}$/), { maxLength: 3 }), { nil: undefined }),
        fields: fc.array(fc.tuple(fc.stringMatching(/^[A-Za-z-]{1,8}$/), fc.stringMatching(/^[!-~]{0,8}$/)), {
          maxLength: 3,
        }),
        isChunked: fc.boolean(),
      }),
      { minLength: 1, maxLength: 4 },
    )
    .map((list) => list.map(requestText).join(""));

  function requestText({
    path,
    body,
    fields,
    isChunked,
  }: {
    readonly path: string;
    readonly body: readonly string[] | undefined;
    readonly fields: readonly (readonly [string, string])[];
    readonly isChunked: boolean;
  }): string {
    const own = fields.map(([name, value]) => `X-${name}: ${value}\r\n`).join("");
    const head = `${body === undefined ? "GET" : "POST"} ${path} HTTP/1.1\r\nHost: a\r\n${own}`;
    if (body === undefined) return `${head}\r\n`;
    if (!isChunked) return `${head}Content-Length: ${body.join("").length}\r\n\r\n${body.join("")}`;
    const chunks = body.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join("");
    return `${head}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`;
  }

  test("any split of the bytes gives the same requests", () => {
    fc.assert(
      fc.property(requests, fc.array(fc.nat(), { maxLength: 12 }), (text, cuts) => {
        const whole = recordingServer({}, true);
        whole.send(text);
        const split = recordingServer({}, true);
        const points = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
        let from = 0;
        for (const point of [...points, text.length]) {
          split.send(text.slice(from, point));
          from = point;
        }
        expect(split.events).toEqual(whole.events);
        expect(split.connection.written).toBe(whole.connection.written);
      }),
      { numRuns: 300 },
    );
  });

  test("no bytes crash it, and after an error nothing is heard", () => {
    const noise = fc.array(
      fc.oneof(
        fc.constantFrom(
          get,
          post,
          chunked,
          "\r\n",
          "\r",
          "\n",
          "Host: a\r\n",
          "Content-Length: 3\r\n",
          "0\r\n\r\n",
          "3\r\nabc\r\n",
        ),
        fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(noise, (pieces) => {
        const { events, send, codec } = recordingServer({ acceptHttp10: true }, true);
        for (const piece of pieces) send(piece);
        codec.onClose();
        const error = events.findIndex((event) => event.startsWith("error"));
        if (error >= 0) expect(events.slice(error + 1).every((event) => event.startsWith("reset"))).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});
