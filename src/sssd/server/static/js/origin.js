// Where records come from: the service that sent this page. The page without a service has another file in its place.

export const ask = (path, options) => fetch(path, options);
export const QUALITY = "standard"; // what is chosen at first
export const SERVICE = true; // which reads recordings, and makes records at other rates
export const onPlace = () => {}; // is told where in the browser the network runs
