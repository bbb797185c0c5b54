export interface Need {
    /** Undefined: it is there. */
    readonly missing: string | undefined;
    readonly path: string;
}
/** A program on the PATH. */
export declare function needProgram(name: string, howToGetIt: string): Need;
export declare function needEnvoy(): Need;
/** A folder of the shared inputs beside the checkout; it is never required. */
export declare function sharedFolder(name: string): Need;
/** Root on Linux with the programs that make network namespaces and redirect connections in them. */
export declare function needNamespaces(): Need;
