// Before the first paint: the theme that the user chose in this browser, else the system's.
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "system";
