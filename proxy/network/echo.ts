/** `envoy.filters.network.echo` and `envoy.filters.network.direct_response`: answer without an upstream. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { Config as DirectResponse } from "#protos/gen/envoy/extensions/filters/network/direct_response/v3/config_pb.js";
import { parseDataSource, readText } from "../tls/data-source.ts";
import type { NetworkFilterFactory } from "./filter.ts";

/** Gives back what it is given. */
export const echo: NetworkFilterFactory<true> = {
  name: "envoy.filters.network.echo",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"],
  isTerminal: true,
  parse: () => ({ value: true, problems: [] }),
  create:
    () =>
    ({ connection, info }) => ({
      onNewConnection() {
        connection.handler = {
          onData(chunk) {
            info.bytesReceived += chunk.length;
            info.bytesSent += chunk.length;
            if (!connection.write(Buffer.from(chunk))) connection.pause();
          },
          onDrain: () => connection.resume(),
          onEnd: () => connection.end(),
          onClose() {},
        };
        return "continue";
      },
    }),
};

/** Says one thing and closes. */
export const directResponse: NetworkFilterFactory<string> = {
  name: "envoy.filters.network.direct_response",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config"],
  isTerminal: true,
  parse(message: Message, path: string): Parsed<string> {
    const problems: Problem[] = [];
    const reader = new MessageReader(message as DirectResponse, path, problems);
    const response = parseDataSource(reader.child("response"));
    reader.finish();
    try {
      const text = response === undefined ? "" : readText(response);
      return problems.length > 0 ? { problems } : { value: text, problems };
    } catch (error) {
      reader.invalid("response", error instanceof Error ? error.message : String(error));
      return { problems };
    }
  },
  create:
    (text) =>
    ({ connection, info }) => ({
      onNewConnection() {
        connection.handler = { onData() {}, onClose() {} };
        const bytes = Buffer.from(text, "utf8");
        info.bytesSent += bytes.length;
        info.responseCodeDetails = "direct_response";
        connection.write(bytes);
        connection.end();
        return "continue";
      },
    }),
};
