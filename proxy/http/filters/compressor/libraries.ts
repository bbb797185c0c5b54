/** `envoy.extensions.compression.*`: gzip, brotli and zstd, by Node's own. */
import type { Transform } from "node:stream";
import { constants, createBrotliCompress, createGzip, createZstdCompress } from "node:zlib";
import type { Message } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { TypedExtensionConfig } from "#protos/gen/envoy/config/core/v3/extension_pb.js";
import type { Brotli } from "#protos/gen/envoy/extensions/compression/brotli/compressor/v3/brotli_pb.js";
import type { Gzip } from "#protos/gen/envoy/extensions/compression/gzip/compressor/v3/gzip_pb.js";
import type { Zstd } from "#protos/gen/envoy/extensions/compression/zstd/compressor/v3/zstd_pb.js";

export interface CompressionLibrary {
  /** What `content-encoding` says. */
  readonly encoding: string;
  /** `<name>.<library>`: part of the names of statistics. */
  readonly statName: string;
  create(): Transform;
}

/** Reads `compressor_library`; undefined when it has problems, which are on the reader's list. */
export function parseCompressionLibrary(reader: MessageReader<TypedExtensionConfig>): CompressionLibrary | undefined {
  const name = reader.get("name");
  const any = reader.get("typedConfig");
  const path = reader.at("typedConfig");
  reader.finish();
  const opened = any && unpackAny(any, path);
  if (opened?.value === undefined) {
    reader.problems.push(...(opened?.problems ?? []));
    if (opened === undefined) reader.invalid("typedConfig", "is required: the compression library");
    return undefined;
  }
  return parseLibrary(opened.value, name, path, reader.problems);
}

function parseLibrary(
  message: Message,
  name: string,
  path: string,
  problems: Problem[],
): CompressionLibrary | undefined {
  switch (message.$typeName) {
    case "envoy.extensions.compression.gzip.compressor.v3.Gzip": {
      const reader = new MessageReader(message as Gzip, path, problems);
      const level: number = reader.get("compressionLevel");
      const options = {
        memLevel: reader.get("memoryLevel") ?? 5,
        level: level === 0 ? constants.Z_DEFAULT_COMPRESSION : level,
        strategy: reader.get("compressionStrategy"),
        windowBits: reader.get("windowBits") ?? 12,
        chunkSize: reader.get("chunkSize") ?? 4096,
      };
      reader.finish();
      return { encoding: "gzip", statName: `${name}.gzip`, create: () => createGzip(options) };
    }
    case "envoy.extensions.compression.brotli.compressor.v3.Brotli": {
      const reader = new MessageReader(message as Brotli, path, problems);
      const params = {
        [constants.BROTLI_PARAM_QUALITY]: reader.get("quality") ?? 3,
        [constants.BROTLI_PARAM_MODE]: Math.max(0, reader.get("encoderMode") - 1),
        [constants.BROTLI_PARAM_LGWIN]: reader.get("windowBits") ?? 18,
        [constants.BROTLI_PARAM_LGBLOCK]: reader.get("inputBlockBits") ?? 24,
        [constants.BROTLI_PARAM_DISABLE_LITERAL_CONTEXT_MODELING]: reader.get("disableLiteralContextModeling"),
      };
      const chunkSize = reader.get("chunkSize") ?? 4096;
      reader.finish();
      return {
        encoding: "br",
        statName: `${name}.brotli`,
        create: () => createBrotliCompress({ params, chunkSize }),
      };
    }
    case "envoy.extensions.compression.zstd.compressor.v3.Zstd": {
      const reader = new MessageReader(message as Zstd, path, problems);
      const strategy: number = reader.get("strategy");
      const params = {
        [constants.ZSTD_c_compressionLevel]: reader.get("compressionLevel") ?? 3,
        [constants.ZSTD_c_checksumFlag]: reader.get("enableChecksum"),
        ...(strategy === 0 ? {} : { [constants.ZSTD_c_strategy]: strategy }),
      };
      const chunkSize = reader.get("chunkSize") ?? 4096;
      if (reader.get("dictionary") !== undefined)
        reader.unsupported("dictionary", "zstd with a dictionary is not supported by this proxy; leave it out");
      reader.finish();
      return { encoding: "zstd", statName: `${name}.zstd`, create: () => createZstdCompress({ params, chunkSize }) };
    }
    default: {
      const text = `compression by ${message.$typeName} is not supported by this proxy; use Gzip, Brotli or Zstd`;
      problems.push({ code: "unsupported-field", level: "error", path, message: text });
      return undefined;
    }
  }
}
