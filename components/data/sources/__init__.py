"""Where rows come from: what a URI stands for, and the containers that hold rows."""
