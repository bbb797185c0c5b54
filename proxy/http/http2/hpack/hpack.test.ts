import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Http2FieldNames } from "../field-name.ts";
import { BufferPool, WriteBuffer } from "../write-buffer.ts";
import { HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";

type Fields = [name: string, value: string][];

class Decoding {
  readonly decoder: HpackDecoder;
  sensitive: string[] = [];

  constructor(tableBytes = 4096) {
    this.decoder = new HpackDecoder(tableBytes, new Http2FieldNames());
  }

  /** The fields of one block; undefined when it is refused. */
  block(bytes: Buffer | string): Fields | undefined {
    const source = typeof bytes === "string" ? Buffer.from(bytes.replaceAll(" ", ""), "hex") : bytes;
    const fields: Fields = [];
    this.sensitive = [];
    const isGood = this.decoder.decode(source, 0, source.length, {
      onField: (name, value, _isValid, isSensitive) => {
        fields.push([name.name, value]);
        if (isSensitive) this.sensitive.push(name.name);
      },
    });
    return isGood ? fields : undefined;
  }
}

class Encoding {
  readonly encoder = new HpackEncoder();
  readonly #out = new WriteBuffer(new BufferPool());

  block(fields: Fields, isSensitive = false): Buffer {
    this.#out.reserve(1);
    this.encoder.begin(this.#out);
    for (const [name, value] of fields) this.encoder.field(this.#out, name, value, isSensitive);
    return this.#out.take();
  }
}

const request = (path: string, scheme: string): Fields => [
  [":method", "GET"],
  [":scheme", scheme],
  [":path", path],
  [":authority", "www.example.com"],
];

describe("HPACK decoder (RFC 7541)", () => {
  test("reads the three requests of appendix C.3, plain", () => {
    const decoding = new Decoding();
    expect(decoding.block("828684410f7777772e6578616d706c652e636f6d")).toEqual(request("/", "http"));
    expect(decoding.block("828684be58086e6f2d6361636865")).toEqual([
      ...request("/", "http"),
      ["cache-control", "no-cache"],
    ]);
    expect(decoding.block("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565")).toEqual([
      ...request("/index.html", "https"),
      ["custom-key", "custom-value"],
    ]);
  });

  test("reads the three requests of appendix C.4, in Huffman code", () => {
    const decoding = new Decoding();
    expect(decoding.block("828684418cf1e3c2e5f23a6ba0ab90f4ff")).toEqual(request("/", "http"));
    expect(decoding.block("828684be5886a8eb10649cbf")).toEqual([
      ...request("/", "http"),
      ["cache-control", "no-cache"],
    ]);
    expect(decoding.block("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf")).toEqual([
      ...request("/index.html", "https"),
      ["custom-key", "custom-value"],
    ]);
  });

  test("evicts as in appendix C.5: a table of 256 bytes", () => {
    const decoding = new Decoding(256);
    const date = "Mon, 21 Oct 2013 20:13:21 GMT";
    const location = "https://www.example.com";
    expect(
      decoding.block(
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
      ),
    ).toEqual([
      [":status", "302"],
      ["cache-control", "private"],
      ["date", date],
      ["location", location],
    ]);
    expect(decoding.block("4803333037c1c0bf")).toEqual([
      [":status", "307"],
      ["cache-control", "private"],
      ["date", date],
      ["location", location],
    ]);
    expect(
      decoding.block(
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
      ),
    ).toEqual([
      [":status", "200"],
      ["cache-control", "private"],
      ["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
      ["location", location],
      ["content-encoding", "gzip"],
      ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
    ]);
  });

  test("tells which fields no table may have", () => {
    const decoding = new Decoding();
    expect(decoding.block("100870617373776f726406736563726574")).toEqual([["password", "secret"]]);
    expect(decoding.sensitive).toEqual(["password"]);
    expect(decoding.block("be")).toBeUndefined();
  });

  test("a field without indexing leaves the table alone", () => {
    const decoding = new Decoding();
    expect(decoding.block("040c2f73616d706c652f70617468")).toEqual([[":path", "/sample/path"]]);
    expect(decoding.block("be")).toBeUndefined();
  });

  test("takes white space off the ends of a value, and counts it in the table all the same", () => {
    const decoding = new Decoding();
    expect(decoding.block("4001780520 61 62 09 20")).toEqual([["x", "ab"]]);
    expect(decoding.block("be")).toEqual([["x", "ab"]]);
  });

  test.each([
    ["index 0", "80"],
    ["an index beyond both tables", "be"],
    ["a name index beyond both tables", "7f00 0161"],
    ["an integer that never ends", "ff ffffffffffffffffff"],
    ["an integer that is cut off", "ff"],
    ["a string that is longer than the block", "0001 61 05 6162"],
    ["a string without a length", "0001 61"],
    ["a table larger than was allowed", "3fe21f 82"],
    ["a change of the table after a field", "82 20"],
  ])("%s is refused", (_what, hex) => {
    expect(new Decoding().block(hex)).toBeUndefined();
  });

  test("a table that we made smaller has to be confirmed before the next field", () => {
    const decoding = new Decoding();
    decoding.decoder.setLimit(100);
    expect(decoding.block("82")).toBeUndefined();
    const confirmed = new Decoding();
    confirmed.decoder.setLimit(100);
    expect(confirmed.block("3f45 82")).toEqual([[":method", "GET"]]);
  });

  test("any bytes at all are decoded or refused", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 8 }), (blocks) => {
        const decoding = new Decoding();
        for (const block of blocks) decoding.block(Buffer.from(block));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("HPACK encoder (RFC 7541)", () => {
  test("a field that was sent before is one byte", () => {
    const encoding = new Encoding();
    const fields: Fields = [
      [":path", "/a"],
      ["user-agent", "x/1"],
      ["x-own", "v"],
    ];
    const first = encoding.block(fields);
    expect(first.length).toBeGreaterThan(10);
    expect(encoding.block(fields).length).toBe(3);
  });

  test("what differs each time stops being kept, so that what comes again stays", () => {
    const encoding = new Encoding();
    const decoding = new Decoding();
    for (let i = 0; i < 1000; i++) {
      const fields: Fields = [
        ["x-request-id", `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`],
        ["user-agent", "the same for ever"],
      ];
      const block = encoding.block(fields);
      expect(decoding.block(block)).toEqual(fields);
      if (i > 10) expect(block.at(-1), "user-agent by its index").toBeGreaterThanOrEqual(0x80);
    }
  });

  test.each(["authorization", "proxy-authorization"])("%s never enters a table", (name) => {
    const encoding = new Encoding();
    const decoding = new Decoding();
    for (let i = 0; i < 3; i++) {
      expect(decoding.block(encoding.block([[name, "secret"]]))).toEqual([[name, "secret"]]);
      expect(decoding.sensitive).toEqual([name]);
    }
  });

  test("a field that came as sensitive goes on as sensitive", () => {
    const decoding = new Decoding();
    decoding.block(new Encoding().block([["x-token", "secret"]], true));
    expect(decoding.sensitive).toEqual(["x-token"]);
  });

  test("a short cookie could be guessed: it is not kept; a long one is", () => {
    const encoding = new Encoding();
    const decoding = new Decoding();
    decoding.block(encoding.block([["cookie", "a=1"]]));
    expect(decoding.sensitive).toEqual(["cookie"]);
    const long: Fields = [["cookie", `session=${"x".repeat(40)}`]];
    encoding.block(long);
    expect(encoding.block(long).length).toBe(1);
  });

  test("fields of HTTP/1.1 connections are left out", () => {
    const fields: Fields = [
      ["connection", "close"],
      ["transfer-encoding", "chunked"],
      ["host", "x"],
      ["a", "b"],
    ];
    expect(new Decoding().block(new Encoding().block(fields))).toEqual([["a", "b"]]);
  });

  test("a smaller table of the peer is confirmed, the smallest on the way too", () => {
    const encoding = new Encoding();
    const decoding = new Decoding();
    decoding.block(encoding.block([["x-own", "v"]]));
    encoding.encoder.setMaxSize(0);
    encoding.encoder.setMaxSize(1000);
    const block = encoding.block([["x-own", "v"]]);
    expect(block.subarray(0, 1).toString("hex")).toBe("20");
    expect(decoding.block(block)).toEqual([["x-own", "v"]]);
  });

  test("a character that is no byte is sent as UTF-8: it can't become another one", () => {
    const fields = new Decoding().block(new Encoding().block([["x", "\u010d\u010a"]]));
    expect(fields).toEqual([["x", Buffer.from("\u010d\u010a").toString("latin1")]]);
  });

  const name = fc.constantFrom(":path", "accept", "cookie", "date", "x-a", "x-b", "x-c", "x-request-id", "te");
  const value = fc.oneof(
    fc.constantFrom("", "a", "gzip, deflate", "long ".repeat(20).trim(), "x".repeat(3000)),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("latin1").trim()),
  );
  const step = fc.oneof(
    { weight: 10, arbitrary: fc.array(fc.tuple(name, value), { maxLength: 12 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 6000 }) },
  );

  test("what is encoded is decoded again, through any history of the tables", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const encoding = new Encoding();
        const decoding = new Decoding();
        for (const one of steps) {
          if (typeof one === "number") {
            encoding.encoder.setMaxSize(one);
            continue;
          }
          const trimmed = one.map(([n, v]): [string, string] => [n, v.replaceAll(/^[\t ]+|[\t ]+$/g, "")]);
          expect(decoding.block(encoding.block(trimmed))).toEqual(trimmed);
        }
      }),
      { numRuns: 400 },
    );
  });
});
